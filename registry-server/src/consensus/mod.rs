//! Raft: turns proposals into committed entries and hands them to a state machine.
//!
//! This room knows nothing of keys. It is generic over a [`StateMachine`] (which `apply` implements), over
//! a [`Runtime`](crate::types::Runtime) (clock, spawn, randomness: openraft's own runtime trait), and over a [`Transport`] to the
//! peers, so that a whole cluster can run in one process on virtual time. openraft's types stay in here.
//!
//! The way of a proposal: [`Node::propose`] → `batcher` (all that waits becomes one entry) → openraft →
//! `log_store` (the WAL of `storage`) → committed → `applier` → [`StateMachine::apply`] → the reply.
//! The way of a linearizable read: [`Node::read_barrier`] → `reads` (all that waits shares one round).
//!
//! What always holds: a reply is sent only after the entry was committed and applied; an entry is applied
//! exactly once between two restores; nothing is purged from the log before a snapshot that covers it is
//! on disk.

mod admission;
mod applier;
mod background;
mod batcher;
mod counts;
mod encoding;
mod error;
mod force;
mod founding;
mod handover;
mod leaders;
mod log_store;
mod membership;
mod messages;
mod node;
mod peer_client;
mod peer_counts;
mod peer_service;
mod peers;
mod pending;
mod readable;
mod reads;
mod receiver;
mod snapshots;
mod sole;
mod state_machine;
#[cfg(test)]
mod tests;
mod transport;
mod types;

pub use admission::{Admission, Caller, NotAdmitted};
pub use counts::{Counts, SlowApply, TellSlow};
pub use error::{ConsensusError, ProposeError, ReadError};
pub use force::{Survivor, Unconfirmed};
pub use founding::{Beginning, Ground, found};
pub use handover::HandoverError;
pub use membership::{Membership, MembershipChange, MembershipError, Progress};
pub use messages::Description;
pub use node::{Node, NodeOptions, RaftStatus};
pub use peer_client::{GrpcTransport, Told, describe};
pub use peer_counts::{PeerCount, PeerCounts};
pub use peer_service::PeerService;
pub use readable::{Entry, LogId, Members, SnapshotMeta, Vote, read_entry, read_log_id, read_snapshot_meta, read_vote};
pub use receiver::{Ask, Receive};
pub use state_machine::{Position, RestoreError, SnapshotSource, StateMachine};
pub use transport::{Answers, Call, Directory, Link, LinkError, Messages, NoPeers, Transport};
pub use types::PeerNode;
