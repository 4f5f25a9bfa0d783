//! Raft's messages, as etcd's log and snapshots hold them: `raftpb` of etcd 3.7, of which older versions know the same numbers.
//!
//! etcd writes numbers that are 0, too, so they are optional here: what is written is then byte for byte the same.

use bytes::Bytes;
use prost::{Enumeration, Message};

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entry {
    /// What `data` is.
    #[prost(enumeration = "EntryKind", optional, tag = "1")]
    pub kind: Option<i32>,
    /// The term of the leader that proposed it.
    #[prost(uint64, optional, tag = "2")]
    pub term: Option<u64>,
    /// Its place in the log, from 1 on.
    #[prost(uint64, optional, tag = "3")]
    pub index: Option<u64>,
    /// The request; none of the entry with which a leader begins.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub data: Option<Bytes>,
}

/// What an entry's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum EntryKind {
    /// A request to the store.
    Normal = 0,
    /// A [`ConfChange`].
    ConfChange = 1,
    /// A change of several members at once, which etcd itself never proposes.
    ConfChangeV2 = 2,
}

/// What a node must not forget about elections.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct HardState {
    /// The newest term it knows.
    #[prost(uint64, optional, tag = "1")]
    pub term: Option<u64>,
    /// For whom it voted in that term.
    #[prost(uint64, optional, tag = "2")]
    pub vote: Option<u64>,
    /// Up to here entries are committed.
    #[prost(uint64, optional, tag = "3")]
    pub commit: Option<u64>,
}

/// Who the members are.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConfState {
    /// Those who vote.
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    pub voters: Vec<u64>,
    /// Those who only learn.
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    pub learners: Vec<u64>,
    /// While members change: those who voted before.
    #[prost(uint64, repeated, packed = "false", tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// While members change: those who will only learn.
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub learners_next: Vec<u64>,
    /// The change ends by itself.
    #[prost(bool, optional, tag = "5")]
    pub auto_leave: Option<bool>,
}

impl ConfState {
    /// With voters alone.
    #[must_use]
    pub fn of_voters(voters: Vec<u64>) -> Self {
        Self { voters, auto_leave: Some(false), ..Self::default() }
    }
}

/// A change of one member.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConfChange {
    /// By which its proposer knows it again.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// What becomes of the member.
    #[prost(enumeration = "ConfChangeKind", optional, tag = "2")]
    pub kind: Option<i32>,
    /// The member.
    #[prost(uint64, optional, tag = "3")]
    pub node_id: Option<u64>,
    /// etcd's: the member as JSON.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub context: Option<Bytes>,
}

/// What becomes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ConfChangeKind {
    /// It votes.
    AddNode = 0,
    /// It is none any more.
    RemoveNode = 1,
    /// Its addresses change.
    UpdateNode = 2,
    /// It only learns.
    AddLearnerNode = 3,
}

/// The state at an index, in place of the entries up to there.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Snapshot {
    /// The state itself. etcd's database has it; here is only what etcd 3.5 and older knew of the members.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub data: Option<Bytes>,
    /// Of which index it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}

/// Where a snapshot was made.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotMetadata {
    /// The members at that index.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// The last entry that is in it.
    #[prost(uint64, optional, tag = "2")]
    pub index: Option<u64>,
    /// That entry's term.
    #[prost(uint64, optional, tag = "3")]
    pub term: Option<u64>,
}
