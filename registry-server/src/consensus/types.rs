//! What openraft is told about our types.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use bytes::Bytes;
use openraft::entry::RaftPayload;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::responder::Responder;
use openraft::{Entry, OptionalSend, RaftTypeConfig, Vote};

use super::state_machine::StateMachine;
use crate::types::Runtime;

/// Where a member's peers reach it; part of the Raft membership.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerNode {
    /// The member's advertised peer URLs, in their given order.
    pub peer_urls: Vec<String>,
}

/// What an entry holds: commands, as most do; Raft's members; nothing, as the first of a leader; or members and commands
/// in one, which is written where both must change or neither (`force`).
#[derive(Debug, Clone, Default)]
pub(super) struct Payload {
    pub(super) membership: Option<RaftMembership>,
    /// Applied after the members were told.
    pub(super) batch: Option<Batch>,
}

impl Payload {
    /// The bytes of its commands.
    pub(super) fn batch_len(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.commands.len())
    }
}

impl RaftPayload for Payload {
    type D = Batch;
    type NodeId = u64;
    type Node = PeerNode;

    fn blank() -> Self {
        Self::default()
    }

    fn with_normal(self, data: Batch) -> Self {
        Self { batch: Some(data), ..self }
    }

    fn with_membership(self, membership: RaftMembership) -> Self {
        Self { membership: Some(membership), ..self }
    }

    fn get_membership(&self) -> Option<RaftMembership> {
        self.membership.clone()
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.membership, &self.batch) {
            (None, None) => f.write_str("blank"),
            (Some(membership), None) => write!(f, "{membership}"),
            (None, Some(batch)) => write!(f, "{batch}"),
            (Some(membership), Some(batch)) => write!(f, "{membership} and a {batch}"),
        }
    }
}

/// Many commands, each length-prefixed, in the order of their replies.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) origin: Origin,
    pub(super) commands: Bytes,
}

/// Where a batch comes from: whoever made it waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// One life of one node; 0 for nobody.
    pub(super) node: u64,
    /// The batch's number there.
    pub(super) number: u64,
}

/// One member's time as leader, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Leadership {
    pub(super) term: u64,
    pub(super) member: u64,
}

impl From<Leader> for Leadership {
    fn from(leader: Leader) -> Self {
        Self { term: leader.term, member: leader.node_id }
    }
}

impl From<Leadership> for Leader {
    fn from(leadership: Leadership) -> Self {
        Self { term: leadership.term, node_id: leadership.member }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.commands.len())
    }
}

/// openraft's view of a node with state machine `S` on runtime `R`.
pub(super) struct TypeConfig<S, R>(PhantomData<fn() -> (S, R)>);

// Ids are numbered, terms counted; a term may have several leaders in turn, which spares elections.
type Leader = LeaderId<u64, u64>;

pub(super) type RaftLogId = openraft::LogId<Leader>;
pub(super) type RaftVote = Vote<Leader>;
pub(super) type RaftEntry = Entry<Leader, Payload>;
pub(super) type RaftMembership = openraft::Membership<u64, PeerNode>;
pub(super) type RaftStoredMembership = openraft::StoredMembership<Leader, u64, PeerNode>;
pub(super) type RaftSnapshotMeta = openraft::SnapshotMeta<Leader, u64, PeerNode>;
pub(super) type RaftSnapshot = openraft::Snapshot<Leader, u64, PeerNode, PathBuf>;

impl<S: StateMachine, R: Runtime> RaftTypeConfig for TypeConfig<S, R> {
    type D = Batch;
    // Replies go to whoever waits at the batch's origin.
    type R = ();
    type NodeId = u64;
    type Node = PeerNode;
    type Term = u64;
    type LeaderId = Leader;
    type Vote = RaftVote;
    type Payload = Payload;
    type Entry = RaftEntry;
    type AsyncRuntime = R;
    type Responder<T>
        = Callback<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Runs a closure with the result of a write, on whichever thread finished it: the replies of a batch go
/// straight to those who wait for them, without another task in between.
pub(super) struct Callback<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Callback<T> {
    pub(super) fn new(call: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(call))
    }
}

impl<S: StateMachine, R: Runtime, T: OptionalSend + 'static> Responder<TypeConfig<S, R>, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

// By hand, as a derive would ask the same of `S` and `R`, which are only named here.
impl<S, R> fmt::Debug for TypeConfig<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}

impl<S, R> Clone for TypeConfig<S, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, R> Copy for TypeConfig<S, R> {}

impl<S, R> Default for TypeConfig<S, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S, R> PartialEq for TypeConfig<S, R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<S, R> Eq for TypeConfig<S, R> {}

impl<S, R> PartialOrd for TypeConfig<S, R> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<S, R> Ord for TypeConfig<S, R> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
