//! The deadlines of the node that leads, shared between `apply`, keep-alives, and the tasks that
//! revoke and record leases.

use std::time::Duration;

use openraft::async_runtime::Instant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::checkpoints::Checkpoint;
use super::deadlines::{Deadlines, Found};
use crate::types::{LeaseId, Runtime};

/// A lease that could not be revoked is tried again after this long.
const RETRY: Duration = Duration::from_millis(500);
/// The expiry task looks at the clock at least this often, so that a new, sooner deadline needs no wake-up
/// of its own when it is further away than this.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

type InstantOf<R> = <R as AsyncRuntime>::Instant;

/// What a keep-alive is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Renewed for its whole TTL.
    Renewed(Duration),
    /// There is no such lease, or not any more.
    Unknown,
    /// Not renewed: the log says that less remains, and a checkpoint of 0 must take that back first.
    Recorded,
}

/// The deadlines. Time is the runtime's monotonic clock: the wall clock may jump as it likes.
pub struct Keeper<R: Runtime> {
    deadlines: Mutex<Deadlines<InstantOf<R>>>,
    /// Woken whenever a revocation or a checkpoint has ended: a keep-alive may be waiting for the outcome.
    settled: Notify,
}

impl<R: Runtime> Default for Keeper<R> {
    fn default() -> Self {
        Self { deadlines: Mutex::new(Deadlines::new()), settled: Notify::new() }
    }
}

impl<R: Runtime> std::fmt::Debug for Keeper<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl<R: Runtime> Keeper<R> {
    /// A lease was granted: its whole TTL begins now.
    pub fn granted(&self, id: LeaseId, ttl_seconds: i64) {
        self.deadlines.lock().set(id, seconds(ttl_seconds), InstantOf::<R>::now());
    }

    /// The log says what remains of a lease; none for its whole TTL. Its deadline here stays what it is.
    pub fn recorded(&self, id: LeaseId, remaining_seconds: Option<i64>) {
        self.deadlines.lock().recorded(id, remaining_seconds.map(seconds));
    }

    /// Every lease goes on with what the log says remains of it: this node has just come to serve, and
    /// nobody could have kept one alive before.
    pub fn restart(&self) {
        self.deadlines.lock().restart(InstantOf::<R>::now());
    }

    /// A lease was revoked.
    pub fn revoked(&self, id: LeaseId) {
        self.deadlines.lock().remove(id);
        self.settled.notify_waiters();
    }

    /// Renews a lease. One that is being revoked or recorded is waited for: the answer comes when it is gone,
    /// or when it is settled that it lives on.
    pub async fn renew(&self, id: LeaseId) -> Renewal {
        loop {
            // Registered before the look, so that no wake-up in between is missed.
            let settled = self.settled.notified();
            match self.deadlines.lock().renew(id, InstantOf::<R>::now()) {
                Found::Renewed(ttl) => return Renewal::Renewed(ttl),
                Found::Unknown => return Renewal::Unknown,
                Found::Recorded => return Renewal::Recorded,
                Found::Revoking | Found::Recording => {}
            }
            settled.await;
        }
    }

    /// Those of these leases of which the log says that less than the whole TTL remains.
    pub fn recorded_among(&self, ids: impl Iterator<Item = LeaseId>) -> Vec<LeaseId> {
        let deadlines = self.deadlines.lock();
        ids.filter(|id| deadlines.is_recorded(*id)).collect()
    }

    /// Takes up to `max` leases whose checkpoint is due, and whether more may be. Each must then be given to
    /// [`Keeper::checkpoints_ended`], as it is not renewed before.
    pub fn take_checkpoints(&self, max: usize) -> (Vec<Checkpoint>, bool) {
        self.deadlines.lock().take_checkpoints(InstantOf::<R>::now(), max)
    }

    /// The outcome of checkpoints is known and, if they were recorded, was told; or it is not, and then they
    /// count as recorded.
    pub fn checkpoints_ended(&self, checkpoints: &[Checkpoint], is_known: bool) {
        let mut deadlines = self.deadlines.lock();
        for checkpoint in checkpoints {
            if !is_known {
                deadlines.recorded(checkpoint.id, Some(seconds(checkpoint.remaining_seconds)));
            }
            deadlines.checkpoint_ended(checkpoint.id);
        }
        drop(deadlines);
        self.settled.notify_waiters();
    }

    /// How long a lease still lives without a keep-alive; zero once its time has come.
    pub fn remaining(&self, id: LeaseId) -> Option<Duration> {
        let at = self.deadlines.lock().at(id)?;
        let now = InstantOf::<R>::now();
        Some(if at > now { at - now } else { Duration::ZERO })
    }

    /// Waits until leases are due and takes up to `max` of them. Each must then be revoked, or given back
    /// with [`Keeper::not_revoked`].
    pub async fn due(&self, max: usize) -> Vec<LeaseId> {
        loop {
            let now = InstantOf::<R>::now();
            let (due, next) = {
                let mut deadlines = self.deadlines.lock();
                (deadlines.take_due(now, max), deadlines.next())
            };
            if !due.is_empty() {
                return due;
            }
            let latest = now + LONGEST_WAIT;
            R::sleep_until(next.map_or(latest, |next| next.min(latest))).await;
        }
    }

    /// A revocation did not go through; the lease is due again shortly.
    pub fn not_revoked(&self, id: LeaseId) {
        self.deadlines.lock().put_back(id, InstantOf::<R>::now() + RETRY);
        self.settled.notify_waiters();
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs())
}
