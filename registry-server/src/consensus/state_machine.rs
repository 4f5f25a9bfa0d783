//! The seam between consensus and what is replicated.

use std::sync::Arc;

use bytes::Bytes;

use super::types::PeerNode;
use crate::types::MemberId;

/// A place in the Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The term of the leader that wrote the entry.
    pub term: u64,
    /// The entry's index.
    pub index: u64,
}

/// What is replicated. It reads the command and its own state, nothing else: the same entries give the
/// same state, byte for byte, on every member.
pub trait StateMachine: Send + 'static {
    /// What it is told to do.
    type Command: Send + 'static;
    /// What applying a command answers.
    type Reply: Send + Sync + 'static;
    /// A consistent cut of the state, written while later commands are applied.
    type Snapshot: SnapshotSource;

    /// Reads a command, as it was given to `Node::propose`. Needs no state, so that it can be done ahead.
    ///
    /// # Errors
    /// When the bytes are no command this version knows: the node stops, as going on would let members diverge.
    fn decode(command: Bytes) -> Result<Self::Command, RestoreError>;

    /// Applies one command. The reply may be an error for the one who proposed; it is part of the deterministic
    /// outcome.
    fn apply(&mut self, at: Position, command: Self::Command) -> Self::Reply;

    /// The log says who the members are, those without a vote among them.
    fn members(&mut self, members: &mut dyn Iterator<Item = (MemberId, &PeerNode)>);

    /// A slice of work that can wait (a millisecond or so), done between entries. True if more is left.
    fn background(&mut self) -> bool;

    /// Takes what wakes [`StateMachine::background`] when there is work again while no entry is applied. It
    /// may be called from anywhere, as it only puts a job into a queue.
    fn on_background_work(&mut self, wake: Arc<dyn Fn() + Send + Sync>);

    /// A cut at the last applied entry. Cheap: the work is done by [`SnapshotSource::next_block`].
    fn snapshot(&mut self) -> Self::Snapshot;

    /// Replaces the whole state by a snapshot's blocks.
    ///
    /// # Errors
    /// When the blocks are not a whole state of a version that is known here.
    fn restore(&mut self, blocks: &mut dyn Iterator<Item = Result<Bytes, RestoreError>>) -> Result<(), RestoreError>;
}

/// The blocks of one snapshot, made one at a time.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The next block, about 1 MiB; none at the end.
    fn next_block(&mut self) -> Option<Bytes>;
}

/// Bytes that should be a command or a snapshot are not, or come from a newer version.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {why}")]
pub struct RestoreError {
    /// Which bytes.
    pub what: &'static str,
    /// What is wrong with them.
    pub why: String,
}

impl RestoreError {
    /// Names the bytes and what is wrong with them.
    #[expect(clippy::needless_pass_by_value, reason = "errors are given away at every call")]
    pub fn new(what: &'static str, why: impl ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}
