//! The only member of its cluster needs nobody's word: it knows at once that it leads, and what was committed.
//!
//! Whoever got an answer got it from this node, after it had applied the write. So a read need not wait for anything,
//! neither for a round of messages nor for Raft's thread. With a second member, even one without a vote, that ends: the other
//! may apply, and answer, what this one has not applied yet.
//!
//! What always holds: [`Memberships`] hears of each membership before the log does, so no other member can have got a vote,
//! or an entry, of which [`is_sole`] does not know; where Raft's figures lag behind, the answer is no.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::watch::WatchReceiver;

use super::applier::RaftHandle;
use super::state_machine::StateMachine;
use super::types::Leadership;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Where in the log the last membership is that this process has put there; 0 for none.
#[derive(Debug, Clone, Default)]
pub(super) struct Memberships(Arc<AtomicU64>);

impl Memberships {
    /// An entry with a membership is about to go into the log.
    pub(super) fn begins(&self, index: u64) {
        self.0.fetch_max(index, Ordering::AcqRel);
    }
}

/// As what this node leads, if it is its cluster's only member and has applied all that was committed before it led.
pub(super) fn is_sole<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    memberships: &Memberships,
) -> Option<Leadership> {
    let (leadership, since) = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let (own, members) = (metrics.id, &metrics.membership_config);
        let is_mine =
            metrics.current_leader == Some(own) && metrics.vote.committed && metrics.vote.leader_id.node_id == own;
        let is_settled = metrics.committed_membership_config.log_id() == members.log_id();
        let only = members.nodes().all(|(id, _)| *id == own) && members.voter_ids().eq([own]);
        if !(is_mine && is_settled && only) {
            return None;
        }
        (Leadership::from(metrics.vote.leader_id), members.log_id().as_ref()?.index)
    };
    // Asked for after the figures were read: what is in the log by now, and not in them, counts.
    if memberships.0.load(Ordering::Acquire) > since {
        return None;
    }
    let data = raft.data_metrics();
    let applied = data.borrow_watched().last_applied?;
    (applied.committed_leader_id().term == leadership.term && applied.index >= since).then_some(leadership)
}
