//! How many registrations have lost their holder and are not revoked yet, for who waits for them.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The count, shared by the handles, the thread and the guard.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// The thread has ended; nobody will count down any more.
    abandoned: bool,
}

impl Outstanding {
    pub(crate) fn add(&self) {
        self.state.lock().count += 1;
    }

    pub(crate) fn remove(&self) {
        let mut state = self.state.lock();
        state.count = state.count.saturating_sub(1);
        self.changed.notify_all();
    }

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
}
