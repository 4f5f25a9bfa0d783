//! The deadlines of the node that leads, shared between `apply`, keep-alives and the expiry task.

use std::time::Duration;

use openraft::async_runtime::Instant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deadlines::{Deadlines, Found};
use crate::types::{Counter, LeaseId, Runtime};

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
}

/// The deadlines. Time is the runtime's monotonic clock: the wall clock may jump as it likes.
pub struct Keeper<R: Runtime> {
    deadlines: Mutex<Deadlines<InstantOf<R>>>,
    /// Woken whenever a lease is gone: a keep-alive may be waiting for the outcome of a revocation.
    gone: Notify,
    renewed: Counter,
    expired: Counter,
}

impl<R: Runtime> Default for Keeper<R> {
    fn default() -> Self {
        Self {
            deadlines: Mutex::new(Deadlines::new()),
            gone: Notify::new(),
            renewed: Counter::default(),
            expired: Counter::default(),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Keeper<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl<R: Runtime> Keeper<R> {
    /// A lease was granted, or restored from a snapshot: its whole TTL begins now.
    pub fn granted(&self, id: LeaseId, ttl_seconds: i64) {
        let ttl = Duration::from_secs(ttl_seconds.max(0).unsigned_abs());
        self.deadlines.lock().set(id, ttl, InstantOf::<R>::now());
    }

    /// Every lease begins its whole TTL anew: this node has just come to serve, and nobody could have kept
    /// one alive before.
    pub fn restart(&self) {
        self.deadlines.lock().restart(InstantOf::<R>::now());
    }

    /// A lease was revoked.
    pub fn revoked(&self, id: LeaseId) {
        self.deadlines.lock().remove(id);
        self.gone.notify_waiters();
    }

    /// Renews a lease. One that is being revoked is waited for: the answer comes when it is gone, or when
    /// its revocation failed and it lives on.
    pub async fn renew(&self, id: LeaseId) -> Renewal {
        loop {
            // Registered before the look, so that no wake-up in between is missed.
            let gone = self.gone.notified();
            match self.deadlines.lock().renew(id, InstantOf::<R>::now()) {
                Found::Renewed(ttl) => {
                    self.renewed.inc();
                    return Renewal::Renewed(ttl);
                }
                Found::Unknown => return Renewal::Unknown,
                Found::Revoking => {}
            }
            gone.await;
        }
    }

    /// A lease was revoked because its time had come.
    pub fn note_expired(&self) {
        self.expired.inc();
    }

    /// How many keep-alives renewed their lease on this node.
    pub fn renewed_total(&self) -> u64 {
        self.renewed.get()
    }

    /// How many leases this node revoked because their time had come.
    pub fn expired_total(&self) -> u64 {
        self.expired.get()
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
        self.gone.notify_waiters();
    }
}
