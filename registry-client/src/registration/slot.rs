//! How a registration's holder and the SDK's thread talk: one slot a registration, so that what the
//! holder says needs no queue, never blocks and cannot fail.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::machine::{Changes, Moment, Progress};
use super::outstanding::Outstanding;
use super::state::LeaseState;
use crate::clock::Clock;
use crate::error::Error;
use crate::instance::{Instance, Status};

/// What the holder wants since the thread last looked.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The newest values, and the number of the last update.
    pub(super) update: Option<(Changes, u64)>,
    pub(super) shutdown: Option<(Duration, Moment)>,
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Wanted {
    instances: Vec<Arc<Instance>>,
    /// The number of the newest update; the first values are number 1.
    update: u64,
    /// The number up to which the thread has taken values, and where there are newer ones.
    taken: u64,
    changed: BTreeSet<usize>,
    shutdown: Option<(Duration, Moment)>,
    closed: bool,
}

/// One registration, seen from both sides.
#[derive(Debug)]
pub(crate) struct Slot {
    wanted: Mutex<Wanted>,
    /// Held while a user's change is made, so that changes follow each other; the thread never takes it.
    updating: Mutex<()>,
    wake: Notify,
    progress: watch::Sender<Progress>,
    outstanding: Arc<Outstanding>,
    pub(super) clock: Clock,
}

impl Slot {
    /// The instances stand in the order of their keys.
    pub(crate) fn new(instances: Vec<Arc<Instance>>, outstanding: Arc<Outstanding>, clock: Clock) -> Self {
        let changed = BTreeSet::new();
        let wanted = Wanted { instances, update: 1, taken: 1, changed, shutdown: None, closed: false };
        let state = LeaseState::Registering(None);
        let progress = Progress { state, stored: 0, health: None, refused: None, released: false };
        let (wanted, progress) = (Mutex::new(wanted), watch::Sender::new(progress));
        Self { wanted, updating: Mutex::new(()), wake: Notify::new(), progress, outstanding, clock }
    }

    pub(super) fn instances(&self) -> Vec<Arc<Instance>> {
        self.wanted.lock().instances.clone()
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Changes the instances at these places; says the number under which the change is stored.
    ///
    /// `change` is the user's and may take its time, read the instances or panic: it is given copies, and the thread,
    /// which keeps all leases alive, never waits for it. After a panic nothing is changed.
    pub(super) fn update(&self, places: Range<usize>, mut change: impl FnMut(&mut Instance)) -> u64 {
        let updating = self.updating.lock();
        let mut changed = self.wanted.lock().instances[places.clone()].to_vec();
        changed.iter_mut().for_each(|instance| change(Arc::make_mut(instance)));
        let mut wanted = self.wanted.lock();
        wanted.instances[places.clone()].clone_from_slice(&changed);
        wanted.changed.extend(places);
        wanted.update += 1;
        let update = wanted.update;
        drop((wanted, updating));
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

    /// Waits until the registration stands for the first time.
    pub(super) async fn standing(&self) -> Result<(), Error> {
        let mut progress = self.progress();
        let settled = |state: &LeaseState| !matches!(state, LeaseState::Registering(_));
        let progress = progress.wait_for(|progress| settled(&progress.state)).await.map_err(|_| Error::Closed)?;
        ended(&progress.state).map_or(Ok(()), Err)
    }

    /// Waits until the health check passes and the registry has that; without one there is nothing to wait for.
    pub(super) async fn healthy(&self) -> Result<(), Error> {
        let mut progress = self.progress();
        let settled = |progress: &Progress| {
            matches!(progress.health, None | Some(Status::Up)) || ended(&progress.state).is_some()
        };
        let progress = progress.wait_for(settled).await.map_err(|_| Error::Closed)?;
        ended(&progress.state).map_or(Ok(()), Err)
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
        let refused = progress.refused.as_ref().map(|(_, error)| Error::clone(error));
        Err(ended(&progress.state).or(refused).unwrap_or(Error::Closed))
    }

    // The thread's side.

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        let mut wanted = self.wanted.lock();
        let changed = std::mem::take(&mut wanted.changed);
        let update = (wanted.update > wanted.taken).then(|| {
            let values = changed.into_iter().map(|place| (place, Arc::clone(&wanted.instances[place])));
            (values.collect(), wanted.update)
        });
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

/// Why the registration has ended, if it has.
fn ended(state: &LeaseState) -> Option<Error> {
    let LeaseState::Closed(error) = state else { return None };
    Some(error.as_deref().cloned().unwrap_or(Error::Closed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        let instance = |id: &str| Arc::new(Instance::builder("pay").id(id).build().unwrap());
        Slot::new(vec![instance("1"), instance("2")], Arc::default(), Clock::default())
    }

    #[test]
    fn g04_a_change_that_takes_its_time_or_reads_the_instances_stops_nobody() {
        let slot = slot();
        let number = slot.update(0..2, |instance| {
            // What the thread does meanwhile, and a user who asks the handle.
            assert!(slot.wanted.try_lock().is_some(), "the thread would wait");
            let weight = u32::try_from(slot.instances().len()).unwrap();
            instance.set_weight(weight);
        });
        let (changes, taken) = slot.take_wishes().update.unwrap();
        assert_eq!((number, taken), (2, 2));
        assert_eq!(changes.iter().map(|(place, one)| (*place, one.weight())).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
    }

    #[test]
    fn g04_a_change_that_panics_changes_nothing() {
        let slot = slot();
        let before = slot.instances();
        let panics = std::panic::AssertUnwindSafe(|| {
            slot.update(0..2, |instance| {
                instance.set_weight(7);
                assert!(instance.id() == "1", "at the second");
            })
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(slot.instances(), before);
        assert!(slot.take_wishes().update.is_none());
        assert_eq!(slot.update(1..2, |instance| instance.set_weight(8)), 2, "the next one is made as always");
    }
}
