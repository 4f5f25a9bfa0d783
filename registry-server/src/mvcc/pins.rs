//! Revisions that are still being read, below which nothing is freed.
//!
//! The list has a lock of its own, held for a few instructions, because a reader pins under the shared lock
//! of the store and lets go under none.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::types::Revision;

/// Holds the store's state at a revision, and all that happened since, until it is dropped.
#[derive(Debug)]
pub struct Pin {
    revision: Revision,
    pins: Pins,
}

impl Pin {
    /// The revision that is held.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held.lock();
        if let Some(count) = held.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.revision);
            }
        }
    }
}

/// How many pins there are at which revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    held: Arc<Mutex<BTreeMap<Revision, usize>>>,
}

impl Pins {
    pub(super) fn pin(&self, revision: Revision) -> Pin {
        *self.held.lock().entry(revision).or_default() += 1;
        Pin { revision, pins: self.clone() }
    }

    pub(super) fn oldest(&self) -> Option<Revision> {
        self.held.lock().keys().next().copied()
    }
}
