//! A node's files, made from a state that came from elsewhere: another program's data directory.
//!
//! What is written is what a member has that got a snapshot from a leader and has purged its log up to there: so the
//! next start is like any other, whether alone or with others that were made from the same state. The index and the term are
//! those that the state had before: members that were not at the same entry there are not at the same one here either, and
//! the one that is behind gets what it lacks.
//!
//! What always holds: the snapshot is whole and durable before the log refers to it. Until both are, the directories are not
//! to be started on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use openraft::Vote;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::RaftLogStorage;

use super::encoding::snapshot_meta_to_bytes;
use super::error::ConsensusError;
use super::log_store::LogStore;
use super::node::{close, lanes, stopped};
use super::state_machine::{Position, SnapshotSource, StateMachine};
use super::types::{PeerNode, RaftLogId, RaftMembership, RaftSnapshotMeta, RaftStoredMembership};
use crate::storage::{SnapshotFile, SnapshotWriter, Vfs, Wal, WalOptions};
use crate::types::{Executor, MemberId, Runtime};

/// Who leads in the other program's terms is not known here: nobody of this cluster does.
const NOBODY: u64 = 0;

/// Where a state comes from.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The last entry that is in it; its index is 1 at least.
    pub last: Position,
    /// The newest term that its member knew, in which nobody may be elected again.
    pub term: u64,
    /// The members that vote.
    pub voters: BTreeSet<MemberId>,
    /// All members, with those that only learn.
    pub members: BTreeMap<MemberId, PeerNode>,
}

/// Where the files of a node are to be.
#[derive(Debug, Clone)]
pub struct Ground {
    /// For the log's segments.
    pub wal_dir: PathBuf,
    /// For snapshot files.
    pub snapshot_dir: PathBuf,
    /// The log's sizes.
    pub wal: WalOptions,
}

/// Writes a state and its log into directories that are there and empty. Writes files before it returns: call
/// it where that may block.
///
/// # Errors
/// The disk's, a full one among them.
pub async fn found<S: StateMachine, R: Runtime, V: Vfs>(
    ground: &Ground,
    vfs: V,
    executor: &impl Executor,
    source: impl SnapshotSource,
    beginning: &Beginning,
) -> Result<SnapshotFile, ConsensusError> {
    let last =
        RaftLogId { leader_id: LeaderId { term: beginning.last.term, node_id: NOBODY }, index: beginning.last.index };
    let file = write_snapshot(ground, vfs.clone(), source, &meta(beginning, last)?)?;
    let lanes = lanes(executor)?;
    let [_, _, read_lane] = lanes.clone();
    let (wal, _) = Wal::open(vfs, &ground.wal_dir, ground.wal, executor).map_err(std::io::Error::other)?;
    let mut log = LogStore::<S, R, V>::new(wal.clone(), read_lane);
    let term = beginning.term.max(beginning.last.term);
    let written = async {
        log.save_vote(&Vote { leader_id: LeaderId { term, node_id: NOBODY }, committed: false }).await?;
        log.purge(last).await
    };
    let written = written.await;
    close(&wal, &lanes).await;
    written?;
    Ok(file)
}

fn meta(beginning: &Beginning, last: RaftLogId) -> Result<RaftSnapshotMeta, ConsensusError> {
    let voters = beginning.voters.iter().map(|id| id.0).collect::<BTreeSet<_>>();
    let nodes: BTreeMap<_, _> = beginning.members.iter().map(|(id, node)| (id.0, node.clone())).collect();
    let membership = RaftMembership::new(vec![voters], nodes).map_err(stopped)?;
    Ok(RaftSnapshotMeta { last_log_id: Some(last), last_membership: RaftStoredMembership::new(Some(last), membership) })
}

fn write_snapshot<V: Vfs>(
    ground: &Ground,
    vfs: V,
    mut source: impl SnapshotSource,
    meta: &RaftSnapshotMeta,
) -> Result<SnapshotFile, ConsensusError> {
    let index = meta.last_log_id.map_or(0, |last| last.index);
    let write = || {
        let mut writer = SnapshotWriter::create(vfs, &ground.snapshot_dir, index, &snapshot_meta_to_bytes(meta))?;
        while let Some(block) = source.next_block() {
            writer.write_block(&block)?;
        }
        writer.finish()
    };
    write().map_err(|error| std::io::Error::other(error).into())
}
