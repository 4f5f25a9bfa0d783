//! The bytes of votes, entries, memberships and snapshot heads on disk: our own, versioned, so that a new
//! release of the Raft library changes nothing in the files.
//!
//! Every value begins with [`VERSION`]. Numbers are little-endian. Reading never panics: bytes that are
//! too short or of an unknown kind are an error.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use openraft::impls::leader_id_adv::LeaderId;

use super::state_machine::RestoreError;
use super::types::{
    Batch, Origin, Payload, PeerNode, RaftEntry, RaftLogId, RaftMembership, RaftSnapshotMeta, RaftStoredMembership,
    RaftVote,
};

const VERSION: u8 = 1;

/// Kinds of entries.
const BLANK: u8 = 0;
/// Commands, as they were written before batches had an origin.
const ANONYMOUS: u8 = 1;
const MEMBERSHIP: u8 = 2;
/// Commands, behind the node that made the batch and its number there.
const NORMAL: u8 = 3;
/// Members, and commands as above behind them.
const FORCED: u8 = 4;

/// Upper bound for counts read from disk before anything is allocated for them.
const MAX_ITEMS: u32 = 65_536;

pub(super) type Read<T> = Result<T, RestoreError>;

pub(super) fn entry_to_bytes(entry: &RaftEntry) -> Bytes {
    let mut out = BytesMut::with_capacity(48 + entry.payload.batch_len());
    out.put_u8(VERSION);
    put_log_id(&mut out, &entry.log_id);
    let Payload { membership, batch } = &entry.payload;
    out.put_u8(match (membership, batch) {
        (None, None) => BLANK,
        (None, Some(_)) => NORMAL,
        (Some(_), None) => MEMBERSHIP,
        (Some(_), Some(_)) => FORCED,
    });
    if let Some(membership) = membership {
        put_membership(&mut out, membership);
    }
    if let Some(batch) = batch {
        out.put_u64_le(batch.origin.node);
        out.put_u64_le(batch.origin.number);
        out.put_slice(&batch.commands);
    }
    out.freeze()
}

pub(super) fn entry_from_bytes(mut bytes: Bytes) -> Read<RaftEntry> {
    let what = "a log entry";
    version(&mut bytes, what)?;
    let log_id = get_log_id(&mut bytes).map_err(short(what))?;
    let payload = match bytes.try_get_u8().map_err(short(what))? {
        BLANK => Payload::default(),
        ANONYMOUS => Payload { membership: None, batch: Some(Batch { origin: Origin::default(), commands: bytes }) },
        NORMAL => Payload { membership: None, batch: Some(get_batch(bytes, what)?) },
        MEMBERSHIP => Payload { membership: Some(get_membership(&mut bytes, what)?), batch: None },
        FORCED => {
            let membership = Some(get_membership(&mut bytes, what)?);
            Payload { membership, batch: Some(get_batch(bytes, what)?) }
        }
        kind => return Err(RestoreError::new(what, format!("unknown kind {kind}"))),
    };
    Ok(RaftEntry { log_id, payload })
}

pub(super) fn vote_to_bytes(vote: &RaftVote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VERSION);
    put_vote(&mut out, vote);
    out.freeze()
}

pub(super) fn vote_from_bytes(mut bytes: Bytes) -> Read<RaftVote> {
    let what = "a vote";
    version(&mut bytes, what)?;
    get_vote(&mut bytes).map_err(short(what))
}

pub(super) fn log_id_to_bytes(log_id: &RaftLogId) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(VERSION);
    put_log_id(&mut out, log_id);
    out.freeze()
}

pub(super) fn log_id_from_bytes(mut bytes: Bytes) -> Read<RaftLogId> {
    let what = "a log id";
    version(&mut bytes, what)?;
    get_log_id(&mut bytes).map_err(short(what))
}

pub(super) fn snapshot_meta_to_bytes(meta: &RaftSnapshotMeta) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_optional_log_id(&mut out, meta.last_log_id.as_ref());
    put_optional_log_id(&mut out, meta.last_membership.log_id().as_ref());
    put_membership(&mut out, meta.last_membership.membership());
    out.freeze()
}

pub(super) fn snapshot_meta_from_bytes(mut bytes: Bytes) -> Read<RaftSnapshotMeta> {
    let what = "a snapshot's head";
    version(&mut bytes, what)?;
    let last_log_id = get_optional_log_id(&mut bytes).map_err(short(what))?;
    let membership_log_id = get_optional_log_id(&mut bytes).map_err(short(what))?;
    let membership = get_membership(&mut bytes, what)?;
    Ok(RaftSnapshotMeta { last_log_id, last_membership: RaftStoredMembership::new(membership_log_id, membership) })
}

/// Appends one command to a batch.
pub(super) fn put_command(batch: &mut BytesMut, command: &[u8]) {
    batch.put_u32_le(u32::try_from(command.len()).expect("a command is bounded by the request limit"));
    batch.put_slice(command);
}

/// The commands of a batch, sharing its bytes.
pub(super) fn commands(batch: Batch) -> impl Iterator<Item = Read<Bytes>> {
    let mut rest = batch.commands;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let what = "a batch of commands";
        let command = rest.try_get_u32_le().map_err(short(what)).and_then(|len| {
            let len = len as usize;
            if len > rest.len() {
                return Err(RestoreError::new(what, "a command is cut off"));
            }
            Ok(rest.split_to(len))
        });
        if command.is_err() {
            rest.clear();
        }
        Some(command)
    })
}

/// A batch, which is all that is left of the bytes.
fn get_batch(mut bytes: Bytes, what: &'static str) -> Read<Batch> {
    let mut number = || bytes.try_get_u64_le().map_err(short(what));
    let origin = Origin { node: number()?, number: number()? };
    Ok(Batch { origin, commands: bytes })
}

pub(super) fn version(bytes: &mut Bytes, what: &'static str) -> Read<()> {
    match bytes.try_get_u8().map_err(short(what))? {
        VERSION => Ok(()),
        newer => {
            Err(RestoreError::new(what, format!("format {newer} is not known to this version (it knows {VERSION})")))
        }
    }
}

pub(super) fn short(what: &'static str) -> impl Fn(TryGetError) -> RestoreError {
    move |error| RestoreError::new(what, error)
}

pub(super) fn put_vote(out: &mut BytesMut, vote: &RaftVote) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

pub(super) fn get_vote(bytes: &mut Bytes) -> Result<RaftVote, TryGetError> {
    Ok(RaftVote { leader_id: get_leader(bytes)?, committed: bytes.try_get_u8()? != 0 })
}

pub(super) fn put_log_id(out: &mut BytesMut, log_id: &RaftLogId) {
    out.put_u64_le(log_id.leader_id.term);
    out.put_u64_le(log_id.leader_id.node_id);
    out.put_u64_le(log_id.index);
}

fn get_leader(bytes: &mut Bytes) -> Result<LeaderId<u64, u64>, TryGetError> {
    Ok(LeaderId { term: bytes.try_get_u64_le()?, node_id: bytes.try_get_u64_le()? })
}

pub(super) fn get_log_id(bytes: &mut Bytes) -> Result<RaftLogId, TryGetError> {
    Ok(RaftLogId { leader_id: get_leader(bytes)?, index: bytes.try_get_u64_le()? })
}

pub(super) fn put_optional_log_id(out: &mut BytesMut, log_id: Option<&RaftLogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_log_id(out, log_id);
    }
}

pub(super) fn get_optional_log_id(bytes: &mut Bytes) -> Result<Option<RaftLogId>, TryGetError> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        _ => get_log_id(bytes).map(Some),
    }
}

fn put_membership(out: &mut BytesMut, membership: &RaftMembership) {
    let configs = membership.get_joint_config();
    out.put_u32_le(configs.len() as u32);
    for config in configs {
        out.put_u32_le(config.len() as u32);
        for id in config {
            out.put_u64_le(*id);
        }
    }
    put_nodes(out, membership.nodes().map(|(id, node)| (*id, node)));
}

pub(super) fn put_nodes<'a>(out: &mut BytesMut, nodes: impl Iterator<Item = (u64, &'a PeerNode)>) {
    let nodes: Vec<_> = nodes.collect();
    out.put_u32_le(nodes.len() as u32);
    for (id, node) in nodes {
        out.put_u64_le(id);
        out.put_u32_le(node.peer_urls.len() as u32);
        for url in &node.peer_urls {
            out.put_u32_le(url.len() as u32);
            out.put_slice(url.as_bytes());
        }
    }
}

fn get_membership(bytes: &mut Bytes, what: &'static str) -> Read<RaftMembership> {
    let mut configs = Vec::new();
    for _ in 0..count(bytes, what)? {
        let mut config = BTreeSet::new();
        for _ in 0..count(bytes, what)? {
            config.insert(bytes.try_get_u64_le().map_err(short(what))?);
        }
        configs.push(config);
    }
    let nodes = get_nodes(bytes, what)?;
    RaftMembership::new(configs, nodes).map_err(|error| RestoreError::new(what, error))
}

pub(super) fn get_nodes(bytes: &mut Bytes, what: &'static str) -> Read<BTreeMap<u64, PeerNode>> {
    let mut nodes = BTreeMap::new();
    for _ in 0..count(bytes, what)? {
        let id = bytes.try_get_u64_le().map_err(short(what))?;
        let mut peer_urls = Vec::new();
        for _ in 0..count(bytes, what)? {
            peer_urls.push(text(bytes, what)?);
        }
        nodes.insert(id, PeerNode { peer_urls });
    }
    Ok(nodes)
}

fn count(bytes: &mut Bytes, what: &'static str) -> Read<u32> {
    match bytes.try_get_u32_le().map_err(short(what))? {
        many if many > MAX_ITEMS => Err(RestoreError::new(what, format!("{many} items"))),
        count => Ok(count),
    }
}

fn text(bytes: &mut Bytes, what: &'static str) -> Read<String> {
    let len = bytes.try_get_u32_le().map_err(short(what))? as usize;
    if len > bytes.len() {
        return Err(RestoreError::new(what, "a text is cut off"));
    }
    String::from_utf8(bytes.split_to(len).to_vec()).map_err(|error| RestoreError::new(what, error))
}
