//! How a registration's holder and the SDK's thread talk: one slot a registration, so that what the
//! holder says needs no queue, never blocks and cannot fail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::machine::{Moment, Progress};
use super::outstanding::Outstanding;
use super::state::LeaseState;
use crate::clock::Clock;
use crate::error::Error;
use crate::instance::Instance;

/// What the holder wants since the thread last looked.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The newest value and its number.
    pub(super) update: Option<(Instance, u64)>,
    pub(super) shutdown: Option<(Duration, Moment)>,
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Wanted {
    instance: Instance,
    /// The number of the newest value; the first is 1.
    update: u64,
    /// The number up to which the thread has taken values.
    taken: u64,
    shutdown: Option<(Duration, Moment)>,
    closed: bool,
}

/// One registration, seen from both sides.
#[derive(Debug)]
pub(crate) struct Slot {
    wanted: Mutex<Wanted>,
    wake: Notify,
    progress: watch::Sender<Progress>,
    outstanding: Arc<Outstanding>,
    pub(super) clock: Clock,
}

impl Slot {
    pub(crate) fn new(instance: Instance, outstanding: Arc<Outstanding>, clock: Clock) -> Self {
        let wanted = Wanted { instance, update: 1, taken: 1, shutdown: None, closed: false };
        let state = LeaseState::Registering(None);
        let progress = Progress { state, stored: 0, refused: None, released: false };
        let (wanted, progress) = (Mutex::new(wanted), watch::Sender::new(progress));
        Self { wanted, wake: Notify::new(), progress, outstanding, clock }
    }

    pub(super) fn instance(&self) -> Instance {
        self.wanted.lock().instance.clone()
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Changes the instance; says the number under which the change is stored.
    pub(super) fn update(&self, change: impl FnOnce(&mut Instance)) -> u64 {
        let mut wanted = self.wanted.lock();
        change(&mut wanted.instance);
        wanted.update += 1;
        let update = wanted.update;
        drop(wanted);
        self.wake.notify_one();
        update
    }

    pub(super) fn shut_down(&self, drain: Duration, revoke_by: Moment) {
        self.wanted.lock().shutdown = Some((drain, revoke_by));
        self.wake.notify_one();
    }

    /// The holder has gone. Only the first call counts.
    pub(super) fn close(&self) {
        self.close_locked(self.wanted.lock());
    }

    /// As `close`, unless somebody holds the slot for longer than `patience`.
    pub(super) fn close_within(&self, patience: Duration) {
        if let Some(wanted) = self.wanted.try_lock_for(patience) {
            self.close_locked(wanted);
        }
    }

    fn close_locked(&self, mut wanted: MutexGuard<'_, Wanted>) {
        if !wanted.closed {
            wanted.closed = true;
            self.outstanding.add();
        }
        drop(wanted);
        self.wake.notify_one();
    }

    /// Waits until the update of that number is stored.
    pub(super) async fn stored(&self, update: u64) -> Result<(), Error> {
        let mut progress = self.progress();
        let settled = |progress: &Progress| {
            progress.stored >= update
                || progress.refused.as_ref().is_some_and(|(refused, _)| *refused >= update)
                || matches!(progress.state, LeaseState::Closed(_))
        };
        let progress = progress.wait_for(settled).await.map_err(|_| Error::Closed)?;
        if progress.stored >= update {
            return Ok(());
        }
        match (&progress.state, &progress.refused) {
            (LeaseState::Closed(error), _) => Err(error.as_deref().cloned().unwrap_or(Error::Closed)),
            (_, Some((_, error))) => Err(Error::clone(error)),
            (_, None) => Err(Error::Closed),
        }
    }

    // The thread's side.

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        let mut wanted = self.wanted.lock();
        let update = (wanted.update > wanted.taken).then(|| (wanted.instance.clone(), wanted.update));
        wanted.taken = wanted.update;
        Wishes { update, shutdown: wanted.shutdown.take(), closed: wanted.closed }
    }

    pub(super) fn publish(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// The thread is done with the slot; `last` is published unless the end has been told already.
    pub(super) fn end(&self, last: Progress) {
        self.progress.send_if_modified(|progress| {
            let told = matches!(progress.state, LeaseState::Closed(_)) && progress.released;
            if !told {
                *progress = last;
            }
            !told
        });
        let mut wanted = self.wanted.lock();
        if wanted.closed {
            self.outstanding.remove();
        }
        // A handle that goes later has nothing to wait for.
        wanted.closed = true;
    }
}
