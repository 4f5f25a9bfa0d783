//! The whole state as a snapshot's blocks, and back.
//!
//! The first block is the head: revisions, members, alarms, and how many blocks of leases follow it. Keys under a
//! lease are not in those, as each record names its lease. The other blocks are the store's records, taken in
//! slices, each under a short read lock while later commands are applied; the cursor pins what it still needs.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use registry_proto::etcdserverpb::{AlarmMember, AlarmType, Member};

use super::alarms::Alarms;
use super::state::State;
use crate::auth::{Auth, StoredAuth};
use crate::cluster::{Cluster, KNOWN_VERSION};
use crate::command::MemberVersion;
use crate::consensus::{RestoreError, SnapshotSource};
use crate::lease::{Lease, Leases};
use crate::mvcc::{NEVER_COMPACTED, Restore, SnapshotCursor, Store};
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, GrantNumber, LeaseId, MemberId, Revision};

const WHAT: &str = "a snapshot of the state";

/// The head of a snapshot. Fields may be added; a reader that knows less skips them.
#[derive(Clone, PartialEq, Message)]
pub struct Head {
    /// Raised when a reader that knows less must not go on.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The newest revision.
    #[prost(int64, tag = "2")]
    pub revision: i64,
    /// The last compaction's; negative if there was none.
    #[prost(int64, tag = "3")]
    pub compacted: i64,
    /// How many of the next blocks are of leases.
    #[prost(uint32, tag = "4")]
    pub lease_blocks: u32,
    /// Who is a member.
    #[prost(message, repeated, tag = "5")]
    pub members: Vec<Member>,
    /// Absent in heads of before there were alarms.
    #[prost(message, repeated, tag = "6")]
    pub alarms: Vec<AlarmMember>,
    /// 0 in heads of before grants were counted.
    #[prost(uint64, tag = "7")]
    pub last_grant: u64,
    /// Ids of members that were removed.
    #[prost(uint64, repeated, tag = "8")]
    pub removed: Vec<u64>,
    /// The version that all members know.
    #[prost(uint32, tag = "9")]
    pub cluster_version: u32,
    /// What each has told.
    #[prost(message, repeated, tag = "10")]
    pub versions: Vec<MemberVersion>,
    /// Absent in heads of before there were users.
    #[prost(message, optional, tag = "11")]
    pub auth: Option<StoredAuth>,
}

impl Head {
    /// Reads a snapshot's first block.
    ///
    /// # Errors
    /// If it is none, or of a version that is not known here.
    pub fn read(block: Bytes) -> Result<Self, RestoreError> {
        let head = Self::decode(block).map_err(|error| RestoreError::new(WHAT, error))?;
        if head.version != VERSION {
            let why = format!("version {} is not known to this server (it knows {VERSION})", head.version);
            return Err(RestoreError::new(WHAT, why));
        }
        Ok(head)
    }
}

/// Some of the leases, in the order of their ids.
#[derive(Clone, PartialEq, Message)]
struct LeaseBlock {
    #[prost(message, repeated, tag = "1")]
    leases: Vec<StoredLease>,
}

/// A lease in a snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct StoredLease {
    /// Its id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// As it was granted.
    #[prost(int64, tag = "2")]
    pub ttl_seconds: i64,
    /// 0 for the whole TTL, as in blocks of before there were checkpoints.
    #[prost(int64, tag = "3")]
    pub remaining_seconds: i64,
    /// 0 in blocks of before grants were counted.
    #[prost(uint64, tag = "4")]
    pub grant: u64,
}

/// Reads one of the blocks of leases, of which the head says how many there are.
///
/// # Errors
/// If it is none.
pub fn read_leases(block: Bytes) -> Result<Vec<StoredLease>, RestoreError> {
    Ok(LeaseBlock::decode(block).map_err(|error| RestoreError::new(WHAT, error))?.leases)
}

const VERSION: u32 = 1;
/// Leases in one block: about half a megabyte.
const LEASES_A_BLOCK: usize = 32_768;

/// A block is closed once it has this many bytes of records; the slice that reaches them is still in it. So it is
/// about as large as a chunk of the store, and becomes one when it is restored.
const BLOCK_BYTES: usize = 128 << 10;

/// A cut of the state between two commands.
pub struct StateSnapshot {
    state: Arc<State>,
    /// The head and the leases, taken at the cut.
    small: VecDeque<Bytes>,
    cursor: SnapshotCursor,
}

impl StateSnapshot {
    pub(super) fn new(state: Arc<State>) -> Self {
        let store = state.store.read();
        let cursor = store.snapshot();
        let small = small_blocks(&state, cursor.revision(), cursor.compacted());
        drop(store);
        Self { small, state, cursor }
    }
}

/// The head and the leases, of one moment if the store is locked meanwhile: the other locks are held together.
pub(super) fn small_blocks(state: &State, revision: Revision, compacted: Revision) -> VecDeque<Bytes> {
    let (leases, cluster, alarms) = (state.leases.read(), state.cluster.read(), state.alarms.read());
    let blocks = lease_blocks(&leases);
    let head = Head {
        version: VERSION,
        revision: revision.0,
        compacted: compacted.0,
        lease_blocks: u32::try_from(blocks.len()).expect("leases fit in memory, and so in 2^32 blocks"),
        members: cluster.members().cloned().collect(),
        alarms: alarms.of(AlarmType::None),
        last_grant: leases.last_grant().0,
        removed: cluster.removed().map(|id| id.0).collect(),
        cluster_version: cluster.version(),
        versions: cluster.versions().map(|(id, version)| MemberVersion { id: id.0, version }).collect(),
        auth: Some(state.auth.read().to_stored()),
    };
    std::iter::once(head.encode_to_vec().into()).chain(blocks).collect()
}

fn lease_blocks(leases: &Leases) -> Vec<Bytes> {
    let stored = |(id, lease): (LeaseId, &Lease)| StoredLease {
        id: id.0,
        ttl_seconds: lease.ttl_seconds,
        remaining_seconds: lease.remaining_seconds.unwrap_or(0),
        grant: lease.number.0,
    };
    let stored: Vec<_> = leases.iter().map(stored).collect();
    let blocks = stored.chunks(LEASES_A_BLOCK);
    blocks.map(|leases| LeaseBlock { leases: leases.to_vec() }.encode_to_vec().into()).collect()
}

impl SnapshotSource for StateSnapshot {
    fn next_block(&mut self) -> Option<Bytes> {
        if let Some(block) = self.small.pop_front() {
            return Some(block);
        }
        let mut block = Vec::new();
        // The lock is taken anew for each slice, so that a long run of garbage does not hold writers up.
        while block.len() < BLOCK_BYTES {
            let slice = self.state.store.read().snapshot_block(&mut self.cursor);
            let Some(mut slice) = slice else { break };
            if block.is_empty() {
                block = slice;
            } else {
                block.append(&mut slice);
            }
        }
        if block.is_empty() { None } else { Some(block.into()) }
    }
}

/// What a snapshot holds.
pub(super) struct Restored {
    pub(super) store: Store,
    pub(super) leases: Leases,
    pub(super) cluster: Cluster,
    pub(super) alarms: Alarms,
    pub(super) auth: Auth,
}

/// Reads a whole snapshot.
pub(super) fn restore(blocks: &mut dyn Iterator<Item = Result<Bytes, RestoreError>>) -> Result<Restored, RestoreError> {
    let head = blocks.next().ok_or_else(|| RestoreError::new(WHAT, "it is empty"))??;
    let head = Head::read(head)?;
    if head.cluster_version > KNOWN_VERSION {
        let why = format!(
            "it is of a cluster of version {}, and this server knows {KNOWN_VERSION}: use the newer server",
            head.cluster_version
        );
        return Err(RestoreError::new(WHAT, why));
    }
    let mut granted = Vec::new();
    for _ in 0..head.lease_blocks {
        let block = blocks.next().ok_or_else(|| RestoreError::new(WHAT, "its leases are cut off"))??;
        granted.extend(read_leases(block)?);
    }
    let mut records: Restore = Store::restore();
    for block in blocks {
        records.block(block?).map_err(|error| RestoreError::new(WHAT, error))?;
    }
    let has_leases = records.has_leases();
    let compacted = if planted(Bug::SnapshotForgetsCompaction) { NEVER_COMPACTED } else { Revision(head.compacted) };
    let store = records.finish(Revision(head.revision), compacted).map_err(|error| RestoreError::new(WHAT, error))?;
    let mut leases = restore_leases(GrantNumber(head.last_grant), &granted)?;
    // All records are read for this, so not without a reason.
    if has_leases {
        attach_keys(&mut leases, &store);
    }
    let told = head.versions.iter().map(|told| (MemberId(told.id), told.version));
    let cluster = Cluster::restored(head.members, head.removed).with_versions(told, head.cluster_version);
    let auth = head.auth.map_or_else(|| Some(Auth::default()), Auth::restore);
    let auth = auth.ok_or_else(|| RestoreError::new(WHAT, "the name or the password of a user is not text"))?;
    Ok(Restored { store, leases, cluster, alarms: Alarms::restore(&head.alarms), auth })
}

fn restore_leases(last_grant: GrantNumber, granted: &[StoredLease]) -> Result<Leases, RestoreError> {
    let last_grant = if planted(Bug::SnapshotForgetsGrants) { GrantNumber(0) } else { last_grant };
    let mut leases = Leases::after(last_grant);
    for lease in granted {
        let grant = Grant { id: LeaseId(lease.id), number: GrantNumber(lease.grant) };
        leases.restore(grant, lease.ttl_seconds).map_err(|error| RestoreError::new(WHAT, error))?;
        leases.checkpoint(grant, lease.remaining_seconds);
    }
    Ok(leases)
}

fn attach_keys(leases: &mut Leases, store: &Store) {
    for (key, lease) in store.leased_keys() {
        leases.move_key(&Bytes::copy_from_slice(key), LeaseId(0), lease);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_between_records_neither_ends_a_snapshot_nor_gives_empty_blocks() {
        let state = Arc::new(State::default());
        let put = |key: &[u8], value: &[u8]| {
            let mut store = state.store.write();
            let mut txn = store.write();
            txn.put(key, value, LeaseId(0));
            txn.end();
        };
        put(b"first", b"");
        (0..40).for_each(|_| put(b"changing", &[b'v'; 100_000]));
        put(b"last", b"");
        let newest = state.store.read().revision();
        state.store.write().compact(newest).unwrap();
        let mut source = StateSnapshot::new(state.clone());
        let blocks: Vec<_> = std::iter::from_fn(|| source.next_block()).collect();
        assert_eq!(blocks.len(), 2, "the head, and all records in one block");
        let Restored { store, .. } = restore(&mut blocks.into_iter().map(Ok)).unwrap();
        assert_eq!((store.revision(), store.keys()), (newest, 3));
    }

    #[test]
    fn the_versions_come_back_and_a_newer_cluster_is_refused() {
        let state = Arc::new(State::default());
        let told = |version| Cluster::default().with_versions([(MemberId(1), version)], version);
        *state.cluster.write() = told(KNOWN_VERSION);
        let restored = |state: &Arc<State>| {
            let mut source = StateSnapshot::new(state.clone());
            restore(&mut std::iter::from_fn(|| source.next_block().map(Ok)))
        };
        assert_eq!(restored(&state).map(|restored| restored.cluster).unwrap(), told(KNOWN_VERSION));
        *state.cluster.write() = told(KNOWN_VERSION + 1);
        let refused = restored(&state).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("use the newer server"), "{refused}");
    }

    /// What was written before there were alarms and checkpoints of leases.
    #[test]
    fn a_head_that_knows_no_alarms_is_read() {
        #[derive(Clone, PartialEq, Message)]
        struct OldHead {
            #[prost(uint32, tag = "1")]
            version: u32,
            #[prost(int64, tag = "2")]
            revision: i64,
            #[prost(int64, tag = "3")]
            compacted: i64,
        }

        let head = OldHead { version: 1, revision: 5, compacted: -1 };
        let Restored { store, alarms, .. } = restore(&mut std::iter::once(Ok(head.encode_to_vec().into()))).unwrap();
        assert_eq!((store.revision(), alarms), (Revision(5), Alarms::default()));
    }
}
