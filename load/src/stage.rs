//! Where the run stands, as all tasks see it: what the chronicles have confirmed, and what is waited for at the
//! end.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Shared by all tasks of a load.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// All is healed: nothing is drawn any more, and every watch is to reach the end.
    pub(crate) settling: CancellationToken,
    /// Everybody goes home.
    pub(crate) over: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest revision that anybody was told.
    revision: i64,
    /// Up to where each member's chronicle is whole, by the member's index.
    confirmed: BTreeMap<usize, i64>,
    /// What every watch is to reach; 0 as long as that is not known.
    target: i64,
    /// The watching clients that have reached it.
    reached: BTreeSet<u32>,
    /// Those that watch nothing any more.
    left: BTreeSet<u32>,
}

impl Stage {
    pub(crate) fn see(&self, revision: i64) {
        let mut state = self.state.lock();
        state.revision = state.revision.max(revision);
    }

    pub(crate) fn revision(&self) -> i64 {
        self.state.lock().revision
    }

    /// A chronicle is whole up to that revision.
    pub(crate) fn confirm(&self, index: usize, revision: i64) {
        let mut state = self.state.lock();
        let confirmed = state.confirmed.entry(index).or_default();
        *confirmed = (*confirmed).max(revision);
        state.revision = state.revision.max(revision);
    }

    /// The member of that index is gone: nobody waits for its chronicle.
    pub(crate) fn leave_out(&self, index: usize) {
        self.state.lock().confirmed.insert(index, i64::MAX);
    }

    /// Up to where the chronicles of all members are whole.
    pub(crate) fn confirmed(&self, members: usize) -> i64 {
        let state = self.state.lock();
        (0..members).map(|index| state.confirmed.get(&index).copied().unwrap_or(0)).min().unwrap_or(0)
    }

    /// Every watch is to reach that revision.
    pub(crate) fn aim(&self, revision: i64) {
        let mut state = self.state.lock();
        state.target = revision;
        state.reached.clear();
    }

    pub(crate) fn target(&self) -> i64 {
        self.state.lock().target
    }

    /// A watching client has reached the target.
    pub(crate) fn reach(&self, client: u32) {
        self.state.lock().reached.insert(client);
    }

    /// A watching client has nothing left to watch.
    pub(crate) fn leave(&self, client: u32) {
        self.state.lock().left.insert(client);
    }

    /// Who of them has not reached the target.
    pub(crate) fn missing(&self, watching: &[u32]) -> Vec<u32> {
        let state = self.state.lock();
        let is_missing = |client: &&u32| !state.reached.contains(client) && !state.left.contains(client);
        watching.iter().filter(is_missing).copied().collect()
    }
}
