//! How many registrations have lost their holder and are not revoked yet, for who waits for them; and which
//! ones live, for the end that no drop announces.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::slot::Slot;

/// The count, shared by the handles, the thread and the guard.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    state: Mutex<State>,
    changed: Condvar,
    live: Mutex<Vec<Weak<Slot>>>,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// The thread has ended; nobody will count down any more.
    abandoned: bool,
}

impl Outstanding {
    pub(super) fn add(&self) {
        self.state.lock().count += 1;
    }

    pub(super) fn remove(&self) {
        let mut state = self.state.lock();
        state.count = state.count.saturating_sub(1);
        self.changed.notify_all();
    }

    /// The thread has ended.
    pub(crate) fn abandon(&self) {
        self.state.lock().abandoned = true;
        self.changed.notify_all();
    }

    /// Blocks until nothing is outstanding, at most `limit`. Says whether nothing is.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let mut state = self.state.lock();
        let waiting = |state: &mut State| state.count > 0 && !state.abandoned;
        self.changed.wait_while_for(&mut state, waiting, limit);
        state.count == 0
    }

    pub(crate) fn watch_over(&self, slot: &Arc<Slot>) {
        let mut live = self.live.lock();
        // Sweeping when the list has doubled keeps the cost of a registration constant.
        if live.len() == live.capacity() {
            live.retain(|slot| slot.strong_count() > 0);
        }
        live.push(Arc::downgrade(slot));
    }

    /// Ends every registration as if it had been dropped. For a thread that panics: what cannot be locked
    /// within `patience` may be held by that very thread, and is left to the TTL.
    pub(crate) fn close_all(&self, patience: Duration) {
        let Some(live) = self.live.try_lock_for(patience) else { return };
        for slot in live.iter().filter_map(Weak::upgrade) {
            slot.close_within(patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;
    use crate::clock::Clock;

    #[test]
    fn g03_all_that_live_are_closed_also_by_who_panics_in_a_change() {
        let outstanding = Arc::new(Outstanding::default());
        let slot = || {
            let instance = Instance::builder("pay").build().unwrap();
            let slot = Arc::new(Slot::new(vec![Arc::new(instance)], Arc::clone(&outstanding), Clock::default()));
            outstanding.watch_over(&slot);
            slot
        };
        let (changed, free) = (slot(), slot());
        changed.update(0..1, |_| outstanding.close_all(Duration::from_millis(1)));
        assert!(changed.take_wishes().closed && free.take_wishes().closed);
        assert!(!outstanding.wait(Duration::ZERO), "both are to be revoked");
        outstanding.abandon();
        outstanding.wait(Duration::from_secs(60));
    }
}
