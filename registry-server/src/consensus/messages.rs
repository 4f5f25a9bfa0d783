//! What peers say to each other, as bytes: our own encoding, with a version in front of each message.
//!
//! A member that is asked in a version it does not know refuses; `encoding` has the parts that are the same on
//! disk. Reading never panics, whatever the bytes are.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::encoding::{
    Read, entry_from_bytes, entry_to_bytes, get_log_id, get_nodes, get_optional_log_id, get_vote, put_log_id,
    put_nodes, put_optional_log_id, put_vote, short, snapshot_meta_from_bytes, snapshot_meta_to_bytes, version,
};
use super::state_machine::{RestoreError, StateMachine};
use super::types::{Leadership, Origin, PeerNode, RaftLogId, RaftSnapshotMeta, RaftVote, TypeConfig};
use crate::types::{ClusterId, MemberId, Runtime};

const VERSION: u8 = 1;

/// Entries of one message, at most: more than openraft sends at once.
const MAX_ENTRIES: u32 = 65_536;

/// An append, and how many bytes its entries take.
pub(super) fn append_to_bytes<S: StateMachine, R: Runtime>(request: &AppendEntriesRequest<TypeConfig<S, R>>) -> Bytes {
    let entries: Vec<Bytes> = request.entries.iter().map(entry_to_bytes).collect();
    let mut out = BytesMut::with_capacity(96 + entries.iter().map(|entry| 4 + entry.len()).sum::<usize>());
    out.put_u8(VERSION);
    put_vote(&mut out, &request.vote);
    put_optional_log_id(&mut out, request.prev_log_id.as_ref());
    put_optional_log_id(&mut out, request.leader_commit.as_ref());
    out.put_u32_le(u32::try_from(entries.len()).expect("openraft bounds what one message carries"));
    for entry in entries {
        put_part(&mut out, &entry);
    }
    out.freeze()
}

pub(super) fn append_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<AppendEntriesRequest<TypeConfig<S, R>>> {
    let what = "an append request";
    version(&mut bytes, what)?;
    let vote = get_vote(&mut bytes).map_err(short(what))?;
    let prev_log_id = get_optional_log_id(&mut bytes).map_err(short(what))?;
    let leader_commit = get_optional_log_id(&mut bytes).map_err(short(what))?;
    let count = bytes.try_get_u32_le().map_err(short(what))?;
    if count > MAX_ENTRIES {
        return Err(RestoreError::new(what, format!("{count} entries")));
    }
    let entries = (0..count).map(|_| entry_from_bytes(get_part(&mut bytes, what)?)).collect::<Read<_>>()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

/// The kinds of an append's answer.
const APPENDED: u8 = 0;
const CONFLICT: u8 = 1;
const HIGHER_VOTE: u8 = 2;

pub(super) fn appended_to_bytes<S: StateMachine, R: Runtime>(result: &StreamAppendResult<TypeConfig<S, R>>) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    out.put_u8(VERSION);
    match result {
        Ok(log_id) => {
            out.put_u8(APPENDED);
            put_optional_log_id(&mut out, log_id.as_ref());
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            out.put_u8(CONFLICT);
            put_log_id(&mut out, log_id);
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(HIGHER_VOTE);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

pub(super) fn appended_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<StreamAppendResult<TypeConfig<S, R>>> {
    let what = "an append's answer";
    version(&mut bytes, what)?;
    Ok(match bytes.try_get_u8().map_err(short(what))? {
        APPENDED => Ok(get_optional_log_id(&mut bytes).map_err(short(what))?),
        CONFLICT => Err(StreamAppendError::Conflict(get_log_id(&mut bytes).map_err(short(what))?)),
        HIGHER_VOTE => Err(StreamAppendError::HigherVote(get_vote(&mut bytes).map_err(short(what))?)),
        kind => return Err(unknown(what, kind)),
    })
}

pub(super) fn vote_request_to_bytes<S: StateMachine, R: Runtime>(request: &VoteRequest<TypeConfig<S, R>>) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    out.put_u8(VERSION);
    put_vote(&mut out, &request.vote);
    put_optional_log_id(&mut out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
    out.freeze()
}

pub(super) fn vote_request_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<VoteRequest<TypeConfig<S, R>>> {
    let what = "a vote request";
    version(&mut bytes, what)?;
    let vote = get_vote(&mut bytes).map_err(short(what))?;
    let last_log_id = get_optional_log_id(&mut bytes).map_err(short(what))?;
    let leadership_transfer = bytes.try_get_u8().map_err(short(what))? != 0;
    Ok(VoteRequest { vote, last_log_id, leadership_transfer })
}

pub(super) fn vote_response_to_bytes<S: StateMachine, R: Runtime>(response: &VoteResponse<TypeConfig<S, R>>) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    out.put_u8(VERSION);
    put_vote(&mut out, &response.vote);
    out.put_u8(u8::from(response.vote_granted));
    put_optional_log_id(&mut out, response.last_log_id.as_ref());
    out.freeze()
}

pub(super) fn vote_response_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<VoteResponse<TypeConfig<S, R>>> {
    let what = "a vote's answer";
    version(&mut bytes, what)?;
    let vote = get_vote(&mut bytes).map_err(short(what))?;
    let granted = bytes.try_get_u8().map_err(short(what))? != 0;
    Ok(VoteResponse::new(vote, get_optional_log_id(&mut bytes).map_err(short(what))?, granted))
}

pub(super) fn transfer_to_bytes<S: StateMachine, R: Runtime>(
    request: &TransferLeaderRequest<TypeConfig<S, R>>,
) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(VERSION);
    put_vote(&mut out, request.from_leader());
    out.put_u64_le(*request.to_node_id());
    put_optional_log_id(&mut out, request.last_log_id());
    out.freeze()
}

pub(super) fn transfer_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<TransferLeaderRequest<TypeConfig<S, R>>> {
    let what = "a transfer of leadership";
    version(&mut bytes, what)?;
    let from = get_vote(&mut bytes).map_err(short(what))?;
    let to = bytes.try_get_u64_le().map_err(short(what))?;
    Ok(TransferLeaderRequest::new(from, to, get_optional_log_id(&mut bytes).map_err(short(what))?))
}

/// The kinds of a transfer's answer.
const TAKING_OVER: u8 = 0;
const VOTE_CHANGED: u8 = 1;
const LOG_NOT_FLUSHED: u8 = 2;

pub(super) fn transferred_to_bytes<S: StateMachine, R: Runtime>(
    response: &TransferLeaderResponse<TypeConfig<S, R>>,
) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(VERSION);
    match response {
        Ok(()) => out.put_u8(TAKING_OVER),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(VOTE_CHANGED);
            put_vote(&mut out, expected);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(LOG_NOT_FLUSHED);
            put_optional_log_id(&mut out, expected.as_ref());
            put_optional_log_id(&mut out, actual.as_ref());
        }
    }
    out.freeze()
}

pub(super) fn transferred_from_bytes<S: StateMachine, R: Runtime>(
    mut bytes: Bytes,
) -> Read<TransferLeaderResponse<TypeConfig<S, R>>> {
    let what = "a transfer's answer";
    version(&mut bytes, what)?;
    Ok(match bytes.try_get_u8().map_err(short(what))? {
        TAKING_OVER => Ok(()),
        VOTE_CHANGED => {
            let expected = get_vote(&mut bytes).map_err(short(what))?;
            Err(TransferLeaderError::VoteChanged { expected, actual: get_vote(&mut bytes).map_err(short(what))? })
        }
        LOG_NOT_FLUSHED => {
            let expected = get_optional_log_id(&mut bytes).map_err(short(what))?;
            let actual = get_optional_log_id(&mut bytes).map_err(short(what))?;
            Err(TransferLeaderError::LogNotFlushed { expected, actual })
        }
        kind => return Err(unknown(what, kind)),
    })
}

/// What comes before a snapshot's blocks.
#[derive(Debug, Clone)]
pub(super) struct SnapshotHead {
    pub(super) vote: RaftVote,
    pub(super) meta: RaftSnapshotMeta,
}

impl SnapshotHead {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_u8(VERSION);
        put_vote(&mut out, &self.vote);
        out.put_slice(&snapshot_meta_to_bytes(&self.meta));
        out.freeze()
    }

    pub(super) fn from_bytes(mut bytes: Bytes) -> Read<Self> {
        let what = "a snapshot's announcement";
        version(&mut bytes, what)?;
        let vote = get_vote(&mut bytes).map_err(short(what))?;
        Ok(Self { vote, meta: snapshot_meta_from_bytes(bytes)? })
    }
}

/// The kinds of what follows a snapshot's head.
const BLOCK: u8 = 1;
const END: u8 = 2;

pub(super) fn block_part(block: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + block.len());
    out.put_u8(BLOCK);
    out.put_slice(block);
    out.freeze()
}

/// Without it, a snapshot is not whole.
pub(super) fn end_part() -> Bytes {
    Bytes::from_static(&[END])
}

/// A block; none at the end.
pub(super) fn snapshot_part(mut bytes: Bytes) -> Read<Option<Bytes>> {
    let what = "a part of a snapshot";
    match bytes.try_get_u8().map_err(short(what))? {
        BLOCK => Ok(Some(bytes)),
        END => Ok(None),
        kind => Err(unknown(what, kind)),
    }
}

/// What a snapshot's receiver answers: its vote.
pub(super) fn installed_to_bytes(vote: &RaftVote) -> Bytes {
    let mut out = BytesMut::with_capacity(24);
    out.put_u8(VERSION);
    put_vote(&mut out, vote);
    out.freeze()
}

pub(super) fn installed_from_bytes(mut bytes: Bytes) -> Read<RaftVote> {
    let what = "a snapshot's answer";
    version(&mut bytes, what)?;
    get_vote(&mut bytes).map_err(short(what))
}

/// A batch for the leader's log.
#[derive(Debug, Clone)]
pub(super) struct Proposed {
    /// Under which leadership the sender counts on it. Another one must refuse it: the sender takes it for lost
    /// once an entry of a later term is applied.
    pub(super) leader: Leadership,
    pub(super) origin: Origin,
    pub(super) commands: Bytes,
}

impl Proposed {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(40 + self.commands.len());
        out.put_u8(VERSION);
        out.put_u64_le(self.leader.term);
        out.put_u64_le(self.leader.member);
        out.put_u64_le(self.origin.node);
        out.put_u64_le(self.origin.number);
        out.put_slice(&self.commands);
        out.freeze()
    }

    pub(super) fn from_bytes(mut bytes: Bytes) -> Read<Self> {
        let what = "a forwarded proposal";
        version(&mut bytes, what)?;
        let mut number = || bytes.try_get_u64_le().map_err(short(what));
        let leader = Leadership { term: number()?, member: number()? };
        let origin = Origin { node: number()?, number: number()? };
        Ok(Self { leader, origin, commands: bytes })
    }
}

/// What a leader answers to a forwarded batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was committed.
    Committed,
    /// It was not put into the log, as this is not that leadership.
    NotLeader,
    /// It was not put into the log, which has no room.
    NoSpace,
    /// It was not put into the log: too large.
    TooLarge,
    /// It may or may not be in the log.
    Unknown,
}

impl Taken {
    pub(super) fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&[VERSION, self as u8])
    }

    pub(super) fn from_bytes(mut bytes: Bytes) -> Read<Self> {
        let what = "a forwarded proposal's answer";
        version(&mut bytes, what)?;
        Ok(match bytes.try_get_u8().map_err(short(what))? {
            0 => Self::Committed,
            1 => Self::NotLeader,
            2 => Self::NoSpace,
            3 => Self::TooLarge,
            4 => Self::Unknown,
            kind => return Err(unknown(what, kind)),
        })
    }
}

/// Where a read must wait for, if the asked one leads.
pub(super) fn read_index_to_bytes(log_id: Option<&RaftLogId>) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    out.put_u8(VERSION);
    put_optional_log_id(&mut out, log_id);
    out.freeze()
}

pub(super) fn read_index_from_bytes(mut bytes: Bytes) -> Read<Option<RaftLogId>> {
    let what = "a read index";
    version(&mut bytes, what)?;
    get_optional_log_id(&mut bytes).map_err(short(what))
}

/// Which cluster this is, and who its members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Its members, and where peers reach them.
    pub members: Vec<(MemberId, PeerNode)>,
    /// The version that a member has to know.
    pub version: u32,
}

impl Description {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        out.put_u64_le(self.cluster.0);
        put_nodes(&mut out, self.members.iter().map(|(id, node)| (id.0, node)));
        out.put_u32_le(self.version);
        out.freeze()
    }

    pub(super) fn from_bytes(mut bytes: Bytes) -> Read<Self> {
        let what = "a description of the cluster";
        version(&mut bytes, what)?;
        let cluster = ClusterId(bytes.try_get_u64_le().map_err(short(what))?);
        let members = get_nodes(&mut bytes, what)?;
        let version = bytes.try_get_u32_le().map_err(short(what))?;
        Ok(Self { cluster, version, members: members.into_iter().map(|(id, node)| (MemberId(id), node)).collect() })
    }
}

fn put_part(out: &mut BytesMut, part: &[u8]) {
    out.put_u32_le(u32::try_from(part.len()).expect("an entry is far below 4 GiB"));
    out.put_slice(part);
}

fn get_part(bytes: &mut Bytes, what: &'static str) -> Read<Bytes> {
    let len = bytes.try_get_u32_le().map_err(short(what))? as usize;
    if len > bytes.len() {
        return Err(RestoreError::new(what, "an entry is cut off"));
    }
    Ok(bytes.split_to(len))
}

fn unknown(what: &'static str, kind: u8) -> RestoreError {
    RestoreError::new(what, format!("unknown kind {kind}"))
}
