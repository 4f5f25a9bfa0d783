//! Raft's members: who they are, how far they have come, and one change at a time.
//!
//! A change is a single entry, never a joint configuration: it adds or removes one member, or gives one a vote,
//! so every quorum before it shares a member with every quorum after it. openraft refuses an entry whose
//! predecessor is not committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::SerdeInstant;
use openraft::raft::Precondition;
use openraft::type_config::AsyncRuntime;

use super::applier::RaftHandle;
use super::state_machine::StateMachine;
use super::types::{Payload, PeerNode, RaftMembership};
use crate::storage::Vfs;
use crate::types::{MemberId, Runtime};

/// Raft's members, as this node's log says; the last change may not be committed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Those with a vote.
    pub voters: BTreeSet<MemberId>,
    /// All.
    pub members: BTreeSet<MemberId>,
}

/// How far a member has come, as the leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last entry that is known to be in its log.
    pub matched_index: u64,
    /// It has answered within the time that was asked for.
    pub is_present: bool,
}

/// One step from one membership to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipChange {
    /// Adds a member without a vote.
    Add(MemberId, PeerNode),
    /// Gives a member a vote.
    Promote(MemberId),
    /// Removes a member, and its vote.
    Remove(MemberId),
}

/// Why a step was not taken; it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the membership was not changed: {0}")]
pub struct MembershipError(String);

pub(super) fn membership<S: StateMachine, R: Runtime, V: Vfs>(raft: &RaftHandle<S, R, V>) -> Membership {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    Membership {
        voters: membership.voter_ids().map(MemberId).collect(),
        members: membership.nodes().map(|(id, _)| MemberId(*id)).collect(),
    }
}

/// The progress of all members but this one; empty on a node that does not lead.
pub(super) fn progress<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    fresh: Duration,
) -> BTreeMap<MemberId, Progress> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let now = <R as AsyncRuntime>::Instant::now();
    let Some(replication) = &metrics.replication else { return BTreeMap::new() };
    let others = replication.iter().filter(|(id, _)| **id != metrics.id);
    let of = |(id, matched): (&u64, &Option<super::types::RaftLogId>)| {
        let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id).copied().flatten());
        let heard = heard.map(SerdeInstant::into_inner);
        let is_present = heard.is_some_and(|heard| now.saturating_duration_since(heard) < fresh);
        (MemberId(*id), Progress { matched_index: matched.map_or(0, |matched| matched.index), is_present })
    };
    others.map(of).collect()
}

pub(super) async fn change<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    change: &MembershipChange,
) -> Result<(), MembershipError> {
    let observed = raft.server_metrics().borrow_watched().membership_config.clone();
    let before = observed.membership();
    let mut voters: BTreeSet<u64> = before.voter_ids().collect();
    let mut nodes: BTreeMap<u64, PeerNode> = before.nodes().map(|(id, node)| (*id, node.clone())).collect();
    match change {
        MembershipChange::Add(id, node) => drop(nodes.insert(id.0, node.clone())),
        MembershipChange::Promote(id) => drop(voters.insert(id.0)),
        MembershipChange::Remove(id) => {
            voters.remove(&id.0);
            nodes.remove(&id.0);
        }
    }
    let refused = |error: String| MembershipError(error);
    let after = RaftMembership::new(vec![voters], nodes).map_err(|error| refused(error.to_string()))?;
    let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: *observed.log_id() };
    let appended = raft.append_membership(after, Payload::default(), [unchanged]).await;
    appended.map(drop).map_err(|error| refused(error.to_string()))
}
