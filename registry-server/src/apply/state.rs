//! The replicated state, shared between the one writer and all readers.

use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use tokio::sync::Notify;

use super::alarms::Alarms;
use super::counts::Counts;
use super::defragmentation::Defragmentation;
use crate::auth::Auth;
use crate::cluster::Cluster;
use crate::lease::Leases;
use crate::mvcc::{EventCursor, RevisionEvents, Store};
use crate::types::Revision;
use crate::watch::{Compacted, History};

/// Bytes of events that are read from history under one lock, some tens of microseconds: each command waits for it.
const EVENT_BYTES_LOCKED: usize = 16 << 10;

/// Everything that entries change. Whoever takes several of the locks takes them in the order of the
/// fields; but `auth` is read before `leases` where somebody's rights are looked at, which is safe as long as one thread
/// writes, and never holds one of the two while it waits for the other to write.
#[derive(Debug, Default)]
pub struct State {
    /// Keys and their history.
    pub store: RwLock<Store>,
    /// Leases and the keys under them.
    pub leases: RwLock<Leases>,
    /// The members.
    pub cluster: RwLock<Cluster>,
    /// What is wrong with members.
    pub alarms: RwLock<Alarms>,
    /// Who may do what.
    pub auth: RwLock<Auth>,
    /// What was done, for the metrics; not replicated.
    pub counts: Counts,
    /// Who waits for garbage to be given back.
    pub defragmentation: Defragmentation,
    /// Sizes after the last command, for whoever must not wait for a lock.
    store_bytes: AtomicU64,
    lease_bytes: AtomicU64,
    auth_bytes: AtomicU64,
    /// Whether `auth` asks anybody: for whoever must not wait for its lock.
    auth_enabled: AtomicBool,
    /// Up to where the physical work of compaction has come.
    swept: AtomicI64,
    swept_moved: Notify,
}

/// What the state takes: keys with their history, leases with what ties keys to them, users and roles. In etcd all are in the one
/// file whose size the quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// With garbage: [`Store::size_bytes`], [`Leases::size_bytes`] and [`Auth::size_bytes`].
    pub held_bytes: u64,
    /// Without: [`Store::live_bytes`] and the others as they are.
    pub live_bytes: u64,
}

impl History for State {
    fn revision(&self) -> Revision {
        self.store.read().revision()
    }

    fn events(&self, from: Revision, prev_kv: bool, max_bytes: usize) -> Result<Vec<RevisionEvents>, Compacted> {
        let mut revisions: Vec<RevisionEvents> = Vec::new();
        let mut cursor = EventCursor::new(from, prev_kv);
        let mut left = max_bytes;
        while left > 0 || revisions.is_empty() {
            let store = self.store.read();
            let piece = match store.events(&mut cursor, left.min(EVENT_BYTES_LOCKED)) {
                Ok(piece) => piece,
                // What was read before the compaction is still what happened.
                Err(_) if !revisions.is_empty() => break,
                Err(_) => return Err(Compacted(store.compacted())),
            };
            // To the writer, if one waits: else this reader would have the lock again before it.
            RwLockReadGuard::unlock_fair(store);
            if piece.is_empty() {
                break;
            }
            left = left.saturating_sub(piece.iter().map(RevisionEvents::bytes).sum());
            revisions.extend(piece);
        }
        Ok(revisions)
    }
}

impl State {
    /// How many bytes the quota limits: [`Sizes::held_bytes`] after the last command or slice of compaction.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.beside_keys() + self.store_bytes.load(Ordering::Acquire)
    }

    fn beside_keys(&self) -> u64 {
        self.lease_bytes.load(Ordering::Acquire) + self.auth_bytes.load(Ordering::Acquire)
    }

    /// Whether anybody is asked who that is.
    #[must_use]
    pub fn is_auth_enabled(&self) -> bool {
        self.auth_enabled.load(Ordering::Acquire)
    }

    /// What the state takes now; waits for its locks.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let store = self.store.read();
        let beside = self.leases.read().size_bytes() + self.auth_bytes.load(Ordering::Acquire);
        Sizes { held_bytes: store.size_bytes() + beside, live_bytes: store.live_bytes() + beside }
    }

    /// Called while the store is locked, after it has changed.
    pub(super) fn note_store_size(&self, store: &Store) {
        self.store_bytes.store(store.size_bytes(), Ordering::Release);
    }

    /// Called while the leases are locked, after they have changed.
    pub(super) fn note_lease_size(&self, leases: &Leases) {
        self.lease_bytes.store(leases.size_bytes(), Ordering::Release);
    }

    /// Called while `auth` is locked, after it has changed.
    pub(super) fn note_auth(&self, auth: &Auth) {
        self.auth_bytes.store(auth.size_bytes(), Ordering::Release);
        self.auth_enabled.store(auth.is_enabled(), Ordering::Release);
    }

    /// The physical side of compaction has come so far; false if that is no news.
    pub(super) fn set_swept(&self, at: Revision) -> bool {
        let news = self.swept.fetch_max(at.0, Ordering::AcqRel) < at.0;
        if news {
            self.swept_moved.notify_waiters();
        }
        news
    }

    /// Waits until nothing is left of what a compaction at `at` trims.
    pub async fn swept_to(&self, at: Revision) {
        loop {
            // Registered before the look, so that no wake-up in between is missed.
            let moved = self.swept_moved.notified();
            if self.swept.load(Ordering::Acquire) >= at.0 {
                return;
            }
            moved.await;
        }
    }
}
