//! What the log and the heads of snapshots say, for whoever looks at a data directory without a node: the encodings are
//! those of `encoding`, and openraft's types stay in here.

use bytes::Bytes;

use super::encoding::{commands, entry_from_bytes, log_id_from_bytes, snapshot_meta_from_bytes, vote_from_bytes};
use super::state_machine::RestoreError;
use super::types::{RaftLogId, RaftMembership};

/// Where an entry is, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogId {
    /// The term in which it was proposed.
    pub term: u64,
    /// The member that led.
    pub leader: u64,
    /// Its position.
    pub index: u64,
}

/// A vote as it was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// For which member.
    pub member: u64,
    /// A majority is known to have voted so.
    pub is_committed: bool,
}

/// Raft's members: the sets of voters, two while they change, and where each member is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Of each of these sets a majority is needed.
    pub voters: Vec<Vec<u64>>,
    /// All, with their peer URLs.
    pub nodes: Vec<(u64, Vec<String>)>,
}

/// An entry of the log.
#[derive(Debug)]
pub struct Entry {
    /// Where.
    pub id: LogId,
    /// Who is a member from then on, if it says so.
    pub members: Option<Members>,
    /// The commands' bytes, or why there are no more.
    pub commands: Vec<Result<Bytes, RestoreError>>,
}

/// The head of a snapshot's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry that it holds.
    pub last: Option<LogId>,
    /// Raft's members at that entry.
    pub members: Members,
}

/// Reads an entry.
///
/// # Errors
/// If the bytes are none that this version knows.
pub fn read_entry(bytes: Bytes) -> Result<Entry, RestoreError> {
    let entry = entry_from_bytes(bytes)?;
    let members = entry.payload.membership.as_ref().map(Members::of);
    let commands = entry.payload.batch.map(|batch| commands(batch).collect()).unwrap_or_default();
    Ok(Entry { id: LogId::of(&entry.log_id), members, commands })
}

/// Reads a vote.
///
/// # Errors
/// As [`read_entry`].
pub fn read_vote(bytes: Bytes) -> Result<Vote, RestoreError> {
    let vote = vote_from_bytes(bytes)?;
    Ok(Vote { term: vote.leader_id.term, member: vote.leader_id.node_id, is_committed: vote.committed })
}

/// Reads the id of a committed or purged entry.
///
/// # Errors
/// As [`read_entry`].
pub fn read_log_id(bytes: Bytes) -> Result<LogId, RestoreError> {
    log_id_from_bytes(bytes).map(|id| LogId::of(&id))
}

/// Reads the meta of a snapshot's file.
///
/// # Errors
/// As [`read_entry`].
pub fn read_snapshot_meta(bytes: Bytes) -> Result<SnapshotMeta, RestoreError> {
    let meta = snapshot_meta_from_bytes(bytes)?;
    let members = Members::of(meta.last_membership.membership());
    Ok(SnapshotMeta { last: meta.last_log_id.as_ref().map(LogId::of), members })
}

impl LogId {
    fn of(id: &RaftLogId) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl Members {
    fn of(membership: &RaftMembership) -> Self {
        let voters = membership.get_joint_config().iter().map(|voters| voters.iter().copied().collect()).collect();
        let nodes = membership.nodes().map(|(id, node)| (*id, node.peer_urls.clone())).collect();
        Self { voters, nodes }
    }
}
