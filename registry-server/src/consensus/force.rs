//! A member whose cluster has lost its majority for good becomes the only one, before Raft runs.
//!
//! All that changes is one entry at the end of the log: Raft's membership with this member alone, and the commands that
//! take the others out of the replicated state. Raft's rule that the newest membership in a log counts at once does the
//! rest: at its next start the node is its own majority, elects itself and commits what its log holds.
//!
//! What always holds: until that entry is on the disk the log is a member's of the old cluster, from then on it is the
//! new cluster's, and there is nothing in between, as a record is there whole or not at all. Only a vote of the entry's
//! term goes before it, as of a candidate whom nobody answered. No entry is dropped: this one may be the last that has
//! what a client was told is written, and what its own disk knows of commitment is a little behind.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{RaftLogReader, Vote};
use tokio::sync::oneshot;

use super::applier::{Applier, SinceSnapshot, position};
use super::batcher::reserve;
use super::counts::{ApplyClock, Counts};
use super::encoding::{entry_to_bytes, put_command};
use super::error::ConsensusError;
use super::log_store::LogStore;
use super::membership::Membership;
use super::node::{NodeOptions, close, lanes, open_wal, stopped};
use super::pending::Pending;
use super::snapshots::Snapshots;
use super::state_machine::{Position, StateMachine};
use super::types::{Batch, Origin, Payload, PeerNode, RaftEntry, RaftLogId, RaftMembership, RaftVote};
use crate::storage::{Vfs, Wal};
use crate::types::{Executor, Lane, MemberId, Runtime};

/// What a member of a lost cluster has on its disk, opened while no node runs on it.
pub struct Survivor<S: StateMachine, R: Runtime, V: Vfs> {
    member: MemberId,
    wal: Wal<V>,
    log: LogStore<S, R, V>,
    lanes: [Lane; 3],
    applier: Applier<S, R, V>,
}

/// Where the log ends, and what it says there.
struct End {
    vote: Option<RaftVote>,
    committed: Option<RaftLogId>,
    last: RaftLogId,
    membership: RaftMembership,
}

/// Entries that the disk does not know to be committed, which count as committed from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfirmed {
    /// How many.
    pub entries: u64,
    /// Where the first one stands.
    pub first: Position,
    /// Where the last one stands.
    pub last: Position,
}

impl<S: StateMachine, R: Runtime, V: Vfs> Survivor<S, R, V> {
    /// Opens the log and the newest snapshot, and applies all that is in them to `machine`, be it known to be committed
    /// or not. None when there is neither entry nor snapshot; nothing is left open then. Reads files before it returns:
    /// call it where that may block.
    ///
    /// # Errors
    /// Unreadable or corrupt files.
    pub async fn open(
        options: &NodeOptions,
        vfs: V,
        executor: &impl Executor,
        machine: S,
    ) -> Result<Option<Self>, ConsensusError> {
        let lanes = lanes(executor)?;
        let [snapshot_lane, apply_lane, read_lane] = lanes.clone();
        let wal = open_wal(options, vfs.clone(), executor, &read_lane)?.await.map_err(stopped)??;
        let log = LogStore::new(wal.clone(), read_lane);
        let since_snapshot = Arc::<SinceSnapshot>::default();
        let (dir, after) = (options.snapshot_dir.clone(), options.snapshot_after_bytes);
        let read = async {
            let snapshots = Snapshots::new(vfs, dir, snapshot_lane, since_snapshot.clone(), after, executor.helpers())?;
            let clock = ApplyClock { counts: Arc::<Counts>::default(), slow: None };
            // Nobody proposes anything here.
            let pending = Arc::new(Pending::new(options.life, 1).0);
            let mut applier = Applier::open(machine, apply_lane, snapshots, since_snapshot, clock, pending)?;
            if let Some(last) = log.clone().get_log_state().await?.last_log_id {
                applier.replay_to(&log, last.index).await?;
            }
            let has_entries = applier.applied_state().await?.0.is_some();
            Ok::<_, ConsensusError>(has_entries.then_some(applier))
        };
        let read = read.await;
        if let Ok(Some(applier)) = read {
            return Ok(Some(Self { member: options.member, wal, log, lanes, applier }));
        }
        close(&wal, &lanes).await;
        read.map(|_| None)
    }

    /// Raft's members, as the end of the log says.
    ///
    /// # Errors
    /// Unreadable files.
    pub async fn membership(&mut self) -> Result<Membership, ConsensusError> {
        let membership = self.end().await?.membership;
        Ok(Membership {
            voters: membership.voter_ids().map(MemberId).collect(),
            members: membership.nodes().map(|(id, _)| MemberId(*id)).collect(),
        })
    }

    /// Makes this member the only one; `commands` are applied together with that. Returns once that is on disk, with
    /// what is to be told of the log's end. An error leaves the old cluster's state or the new one's.
    ///
    /// # Errors
    /// The disk's, a full one among them; and when the log has no such member.
    pub async fn become_alone(
        &mut self,
        node: PeerNode,
        commands: &[Bytes],
    ) -> Result<Option<Unconfirmed>, ConsensusError> {
        let end = self.end().await?;
        let unconfirmed = self.unconfirmed(&end).await?;
        let entry = last_entry(&end, self.member, node, commands)?;
        if self.wal.state().last_index.is_none_or(|index| index < end.last.index) {
            // A snapshot was installed, and the log behind it not purged yet.
            self.log.purge(end.last).await?;
        }
        let bytes = entry_to_bytes(&entry);
        // The next segment may be in the making.
        let room = reserve(&self.wal, bytes.len()).await.map_err(std::io::Error::other)?;
        self.log.save_vote(&Vote { leader_id: entry.log_id.leader_id, committed: false }).await?;
        let (done, written) = oneshot::channel();
        let append = self.wal.append(vec![(entry.log_id.index, bytes)], move |result| drop(done.send(result)));
        append.map_err(std::io::Error::other)?;
        written.await.map_err(stopped)?.map_err(std::io::Error::other)?;
        drop(room);
        Ok(unconfirmed)
    }

    /// Lets go of all files: a node may be started on them.
    pub async fn close(self) {
        close(&self.wal, &self.lanes).await;
    }

    async fn end(&mut self) -> Result<End, ConsensusError> {
        let (last, membership) = self.applier.applied_state().await?;
        Ok(End {
            vote: self.log.read_vote().await?,
            committed: self.log.committed()?,
            last: last.ok_or_else(|| ConsensusError::Raft("the log is empty".to_owned()))?,
            membership: membership.membership().clone(),
        })
    }

    /// What lies behind the last committed entry and the snapshot.
    async fn unconfirmed(&mut self, end: &End) -> Result<Option<Unconfirmed>, ConsensusError> {
        let state = self.wal.state();
        let begin = end.committed.map_or(0, |committed| committed.index + 1);
        let saved = self.applier.get_current_snapshot().await?.and_then(|snapshot| snapshot.meta.last_log_id);
        let begin = begin.max(saved.map_or(0, |saved| saved.index + 1)).max(state.first_index);
        let first = self.log.try_get_log_entries(begin..begin.saturating_add(1)).await?;
        Ok(first.first().map(|first| Unconfirmed {
            entries: end.last.index + 1 - begin,
            first: position(first),
            last: Position { term: end.last.leader_id.term, index: end.last.index },
        }))
    }
}

/// The entry after the last, of a term that this member has not seen and as if it led there.
fn last_entry(end: &End, member: MemberId, node: PeerNode, commands: &[Bytes]) -> Result<RaftEntry, ConsensusError> {
    let voted = end.vote.map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(end.last.leader_id.term) + 1;
    let log_id = RaftLogId { leader_id: LeaderId { term, node_id: member.0 }, index: end.last.index + 1 };
    let nodes = std::collections::BTreeMap::from([(member.0, node)]);
    let alone = RaftMembership::new(vec![[member.0].into()], nodes).map_err(stopped)?;
    let mut batch = BytesMut::new();
    commands.iter().for_each(|command| put_command(&mut batch, command));
    let batch = Batch { origin: Origin::default(), commands: batch.freeze() };
    Ok(RaftEntry { log_id, payload: Payload { membership: Some(alone), batch: Some(batch) } })
}
