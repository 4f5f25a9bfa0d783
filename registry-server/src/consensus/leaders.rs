//! Who leads, as this node knows, and the ways to the other members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::SerdeInstant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;

use super::applier::RaftHandle;
use super::state_machine::StateMachine;
use super::transport::{Link, Transport};
use super::types::{Leadership, PeerNode};
use crate::storage::Vfs;
use crate::types::{MemberId, Runtime};

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leader {
    /// This node.
    Myself(Leadership),
    /// Another member.
    Other(Leadership),
}

impl Leader {
    /// Whether this node leads in a term.
    pub(super) fn is_me_in(self, term: u64) -> bool {
        matches!(self, Self::Myself(leadership) if leadership.term == term)
    }
}

type InstantOf<R> = <R as AsyncRuntime>::Instant;
type Links = BTreeMap<u64, (PeerNode, Arc<dyn Link>)>;

/// Follows who leads.
pub(super) struct Leaders<S: StateMachine, R: Runtime, V: Vfs> {
    raft: RaftHandle<S, R, V>,
    transport: Arc<dyn Transport>,
    /// When a leader was last heard of, in case it is another member.
    heard: Arc<Mutex<Option<InstantOf<R>>>>,
    /// Links in use, each with what it was made for.
    links: Arc<Mutex<Links>>,
}

impl<S: StateMachine, R: Runtime, V: Vfs> Clone for Leaders<S, R, V> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            transport: self.transport.clone(),
            heard: self.heard.clone(),
            links: self.links.clone(),
        }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> Leaders<S, R, V> {
    pub(super) fn new(raft: RaftHandle<S, R, V>, transport: Arc<dyn Transport>) -> Self {
        Self { raft, transport, heard: Arc::default(), links: Arc::default() }
    }

    /// Who leads now, if that is known.
    pub(super) fn now(&self) -> Option<Leader> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let vote = metrics.vote;
        if !vote.committed || vote.leader_id.node_id != leader {
            return None;
        }
        let leadership = Leadership::from(vote.leader_id);
        Some(if leader == metrics.id { Leader::Myself(leadership) } else { Leader::Other(leadership) })
    }

    /// A leader has sent something.
    pub(super) fn heard(&self) {
        *self.heard.lock() = Some(InstantOf::<R>::now());
    }

    /// Who leads, if that is more than a memory: a leader that a quorum has acknowledged, or that was heard of, within
    /// `fresh`.
    pub(super) fn present(&self, fresh: Duration) -> Option<MemberId> {
        let leader = self.now()?;
        let is_fresh =
            |at: Option<InstantOf<R>>| at.is_some_and(|at| InstantOf::<R>::now().saturating_duration_since(at) < fresh);
        let (id, is_present) = match leader {
            Leader::Myself(leadership) => {
                let metrics = self.raft.metrics();
                let metrics = metrics.borrow_watched();
                let acked = metrics.last_quorum_acked.map(SerdeInstant::into_inner);
                (leadership.member, metrics.membership_config.voter_ids().count() == 1 || is_fresh(acked))
            }
            Leader::Other(leadership) => (leadership.member, is_fresh(*self.heard.lock())),
        };
        is_present.then_some(MemberId(id))
    }

    /// Whether there is one voter, who needs nobody's word for being the leader.
    pub(super) fn is_alone(&self) -> bool {
        self.raft.server_metrics().borrow_watched().membership_config.voter_ids().count() == 1
    }

    /// Waits until a leader is known; none when the node has stopped.
    pub(super) async fn known(&self) -> Option<Leader> {
        let mut metrics = self.raft.server_metrics();
        loop {
            // Seen before it is looked at, so that a change in between is not missed.
            drop(metrics.borrow_and_update());
            if let Some(leader) = self.now() {
                return Some(leader);
            }
            metrics.changed().await.ok()?;
        }
    }

    /// The way to a member; none if it is not one.
    pub(super) fn link(&self, member: u64) -> Option<Arc<dyn Link>> {
        let metrics = self.raft.server_metrics();
        let node = metrics.borrow_watched().membership_config.membership().get_node(&member)?.clone();
        let mut links = self.links.lock();
        if let Some((known, link)) = links.get(&member)
            && *known == node
        {
            return Some(link.clone());
        }
        let link = self.transport.link(MemberId(member), &node);
        links.insert(member, (node, link.clone()));
        Some(link)
    }
}
