//! Revisions that are still being read, below which nothing is freed.
//!
//! The list has a lock of its own, held for a few instructions, because a reader pins under the shared lock
//! of the store and lets go under none. So nothing that has a lock is called from here while it is held.

use std::collections::BTreeMap;
use std::fmt;
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

impl Pin {
    /// Whether it holds anything in this store: not when that was restored from a snapshot since, in place of another.
    pub(super) fn is_of(&self, store: &Pins) -> bool {
        Arc::ptr_eq(&self.pins.0, &store.0)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let on_unpin = self.pins.0.lock().release(self.revision);
        if let Some(on_unpin) = on_unpin {
            on_unpin();
        }
    }
}

type OnUnpin = Arc<dyn Fn() + Send + Sync>;

/// What is pinned, shared with every pin.
#[derive(Clone, Default)]
pub(super) struct Pins(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    /// How many pins there are at which revision.
    counts: BTreeMap<Revision, usize>,
    /// The sweep stopped at the oldest pin, and has not been woken since.
    is_awaited: bool,
    on_unpin: Option<OnUnpin>,
}

impl Held {
    /// Takes a pin out; what is to be called once the lock is let go, if the sweep waited for that.
    fn release(&mut self, revision: Revision) -> Option<OnUnpin> {
        let is_oldest = self.counts.first_key_value().is_some_and(|(oldest, _)| *oldest == revision);
        let count = self.counts.get_mut(&revision)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.counts.remove(&revision);
        if is_oldest && std::mem::take(&mut self.is_awaited) { self.on_unpin.clone() } else { None }
    }
}

impl Pins {
    pub(super) fn pin(&self, revision: Revision) -> Pin {
        *self.0.lock().counts.entry(revision).or_default() += 1;
        Pin { revision, pins: self.clone() }
    }

    /// How far a sweep that wants to get to `wanted` may go now. If that is less far, the end of the oldest
    /// pin is told.
    pub(super) fn sweep_target(&self, wanted: Revision) -> Revision {
        let mut held = self.0.lock();
        let oldest = held.counts.keys().next().copied().filter(|oldest| *oldest < wanted);
        held.is_awaited = oldest.is_some();
        oldest.unwrap_or(wanted)
    }

    pub(super) fn on_unpin(&self, call: OnUnpin) {
        self.0.lock().on_unpin = Some(call);
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pins").field(&self.0.lock().counts).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::mvcc::Store;
    use crate::types::LeaseId;

    fn store_of_ten_revisions() -> (Store, Arc<AtomicUsize>) {
        let mut store = Store::new();
        while store.revision() < Revision(10) {
            let mut txn = store.write();
            txn.put(b"key", b"value", LeaseId(0));
            txn.end();
        }
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        store.on_unpin(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        (store, calls)
    }

    #[test]
    fn the_end_of_a_pin_that_held_the_sweep_back_is_told() {
        let (mut store, calls) = store_of_ten_revisions();
        let [oldest, same, younger] = [3, 3, 5].map(|at| store.pin(Revision(at)).unwrap());
        store.compact(Revision(10)).unwrap();
        while !store.compact_step(1) {}
        assert_eq!(store.swept(), Revision(3));
        drop(oldest);
        assert_eq!(calls.load(Ordering::Relaxed), 0, "one is left at the same revision");
        drop(same);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        while !store.compact_step(1) {}
        assert_eq!(store.swept(), Revision(5));
        drop(younger);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        while !store.compact_step(1) {}
        assert_eq!(store.swept(), Revision(10));
    }

    #[test]
    fn a_pin_that_nothing_waits_for_ends_in_silence() {
        let (mut store, calls) = store_of_ten_revisions();
        drop(store.pin(Revision(3)));
        let [oldest, younger] = [3, 10].map(|at| store.pin(Revision(at)).unwrap());
        store.compact(Revision(10)).unwrap();
        while !store.compact_step(1) {}
        drop(younger);
        assert_eq!(calls.load(Ordering::Relaxed), 0, "the older one still holds the sweep back");
        drop(oldest);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        while !store.compact_step(1) {}
        drop(store.pin(Revision(10)));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_called_may_pin_and_unpin() {
        let (mut store, _) = store_of_ten_revisions();
        let pins = store.pins.clone();
        store.on_unpin(Box::new(move || drop(pins.pin(Revision(10)))));
        let oldest = store.pin(Revision(3)).unwrap();
        store.compact(Revision(10)).unwrap();
        while !store.compact_step(1) {}
        drop(oldest);
    }
}
