//! One Raft node: starts it, takes proposals and reads, tells its state, stops it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, Raft, SnapshotPolicy};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::applier::{Applier, RaftHandle, SinceSnapshot};
use super::background;
use super::batcher::{Batcher, MAX_BATCHES, Way};
use super::counts::{ApplyClock, Counts, SlowApply, timed_syncs};
use super::error::{ConsensusError, ProposeError, ReadError};
use super::handover::{HandoverError, hand_over};
use super::leaders::{Leader, Leaders};
use super::log_store::LogStore;
use super::membership::{Membership, MembershipChange, MembershipError, Progress, change, membership, progress};
use super::peer_counts::CountedTransport;
use super::peers::{Files, Peers};
use super::pending::Pending;
use super::reads::{Reads, confirm, holds_lease};
use super::receiver::{Ask, Receive, Receiver};
use super::snapshots::Snapshots;
use super::sole::{Memberships, is_sole};
use super::state_machine::StateMachine;
use super::transport::{Call, LinkError, Transport};
use super::types::{Leadership, PeerNode};
use crate::storage::{Vfs, Wal, WalOptions};
use crate::types::{Executor, Lane, MemberId, Runtime};

/// Before a new leader whom no quorum confirms asks again.
const CONFIRM_PAUSE: Duration = Duration::from_millis(20);

/// How a node runs.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// This node's member id; stable for the life of its data directory.
    pub member: MemberId,
    /// The members that form the cluster, this one among them; used when the data directory is new. Empty for a node
    /// that joins: it waits for a leader to send it the log.
    pub founders: BTreeMap<MemberId, PeerNode>,
    /// A number that no other node has, and no earlier life of this one: what it proposes is known by it. Not 0.
    pub life: u64,
    /// The leader's heartbeat; below a fifth of the election timeout.
    pub heartbeat_interval: Duration,
    /// As etcd's: a follower that hears nothing for 0.45 to 0.6 times this asks for an election, and clients' timeouts
    /// and the shortest TTL follow it. At least five heartbeats.
    pub election_timeout: Duration,
    /// A snapshot is written after this many bytes of entries, or a quarter of the last snapshot's size if that is more.
    pub snapshot_after_bytes: u64,
    /// Entries kept behind a snapshot, for peers that are a little behind: a snapshot would cost them more. Each may be a
    /// megabyte to read at the next start.
    pub keep_entries: u64,
    /// Where the WAL's segments are.
    pub wal_dir: PathBuf,
    /// Where snapshot files are.
    pub snapshot_dir: PathBuf,
    /// The WAL's sizes.
    pub wal: WalOptions,
    /// Who hears of commands that take long to apply.
    pub slow_apply: Option<SlowApply>,
}

impl NodeOptions {
    /// A proposal or read without an answer for this long is answered with "timed out", as in etcd.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// openraft starts an election after its leader lease (`election_timeout_max`) and a random wait between
    /// its minimum and maximum. 0.15 and 0.3 of etcd's election timeout give 0.45 to 0.6 of it in all, where etcd takes 1
    /// to 2: a pre-vote of a quorum that has not heard of the leader either comes before, so a follower that was only
    /// slow itself changes nothing. With few heartbeats in an election timeout it is longer: the minimum is one and a half.
    fn raft_config(&self) -> Result<Config, ConsensusError> {
        let election_ms = self.election_timeout.as_millis() as u64;
        let heartbeat_ms = self.heartbeat_interval.as_millis() as u64;
        let min_ms = (election_ms * 3 / 20).max(heartbeat_ms * 3 / 2);
        let config = Config {
            cluster_name: "registry".to_owned(),
            heartbeat_interval: self.heartbeat_interval.as_millis() as u64,
            election_timeout_min: min_ms,
            election_timeout_max: 2 * min_ms,
            quorum_loss_probe_interval: Some(election_ms * 2),
            enable_pre_vote: Some(true),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.keep_entries,
            // A restored leader may have lost entries that it sent in the same term before it synced them.
            enable_leader_restore: Some(false),
            // For all of a snapshot, however large; a peer that is silent loses its connection long before.
            install_snapshot_timeout: 3_600_000,
            ..Config::default()
        };
        Ok(config.validate()?)
    }
}

/// What a node knows of the cluster's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RaftStatus {
    /// The leader, if one was heard of within an election timeout; of itself a leader has heard when a quorum answers it.
    pub leader: Option<MemberId>,
    /// The current term.
    pub term: u64,
    /// The last entry in this node's log.
    pub last_index: u64,
    /// The last entry that is known to be committed.
    pub committed_index: u64,
    /// The last entry applied here.
    pub applied_index: u64,
}

/// A running node. Clones are handles to the same one.
pub struct Node<S: StateMachine, R: Runtime, V: Vfs> {
    raft: RaftHandle<S, R, V>,
    batcher: Batcher<S>,
    reads: Reads,
    pub(super) memberships: Memberships,
    leaders: Leaders<S, R, V>,
    receiver: Receiver<S, R, V>,
    request_timeout: Duration,
    election_timeout: Duration,
    counts: Arc<Counts>,
    stop: CancellationToken,
    wal: Wal<V>,
    since_snapshot: Arc<SinceSnapshot>,
    /// All other lanes that touch files.
    lanes: [Lane; 3],
}

impl<S: StateMachine, R: Runtime, V: Vfs> Clone for Node<S, R, V> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            batcher: self.batcher.clone(),
            reads: self.reads.clone(),
            memberships: self.memberships.clone(),
            leaders: self.leaders.clone(),
            receiver: self.receiver.clone(),
            request_timeout: self.request_timeout,
            election_timeout: self.election_timeout,
            counts: self.counts.clone(),
            stop: self.stop.clone(),
            wal: self.wal.clone(),
            since_snapshot: self.since_snapshot.clone(),
            lanes: self.lanes.clone(),
        }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> Node<S, R, V> {
    /// Opens the log and the newest snapshot, replays what is committed, and forms the cluster with the other founders if the
    /// directories are new. Reads files before it returns: call it where that may block.
    ///
    /// # Errors
    /// Unreadable or corrupt files, and settings that openraft refuses.
    pub async fn start(
        options: &NodeOptions,
        vfs: V,
        executor: &impl Executor,
        transport: Arc<dyn Transport>,
        machine: S,
    ) -> Result<Self, ConsensusError> {
        let counts = Arc::<Counts>::default();
        let transport: Arc<dyn Transport> = Arc::new(CountedTransport { inner: transport, counts: counts.clone() });
        let [snapshot_lane, apply_lane, read_lane] = lanes(executor)?;
        let opening = open_wal(options, vfs.clone(), executor, &read_lane)?;
        let since_snapshot = Arc::new(SinceSnapshot::default());
        let snapshots = Snapshots::new(
            vfs.clone(),
            options.snapshot_dir.clone(),
            snapshot_lane.clone(),
            since_snapshot.clone(),
            options.snapshot_after_bytes,
            executor.helpers(),
        );
        let clock = ApplyClock { counts: counts.clone(), slow: options.slow_apply.clone() };
        let (pending, lost) = Pending::new(options.life, MAX_BATCHES);
        let pending = Arc::new(pending);
        let incoming = snapshots.as_ref().ok().cloned();
        let restore = |snapshots| {
            Applier::open(machine, apply_lane.clone(), snapshots, since_snapshot.clone(), clock, pending.clone())
        };
        let applier = snapshots.map_err(ConsensusError::from).and_then(restore);
        // Waited for in any case, so that nothing touches the files after an error.
        let wal = opening.await.map_err(stopped)??;
        wal.watch_syncs(timed_syncs::<R>(counts.clone()));
        let log_store = LogStore::new(wal.clone(), read_lane.clone());
        let memberships = log_store.memberships();
        let mut applier = applier?;
        applier.replay(&log_store).await?;
        let files = Files { vfs, lane: read_lane.clone() };
        let peers = Peers::new(transport.clone(), files, options.election_timeout);
        let sending = peers.sending();
        let raft = open_raft(options, peers, log_store, applier).await?;
        let leaders = Leaders::new(raft.clone(), transport);

        let receiver = Receiver {
            raft: raft.clone(),
            wal: wal.clone(),
            leaders: leaders.clone(),
            // Without them the applier would have failed.
            snapshots: incoming.expect("the snapshots were opened"),
            ask: Arc::default(),
        };
        let request_timeout = options.request_timeout();
        let way = Way { raft: raft.clone(), wal: wal.clone(), leaders: leaders.clone(), pending, request_timeout };

        let stop = CancellationToken::new();
        background::begin(&stop, &raft, &wal, &counts, (since_snapshot.clone(), sending));
        Ok(Self {
            batcher: Batcher::start(way, lost),
            reads: Reads::start(raft.clone(), leaders.clone(), options.election_timeout),
            memberships,
            leaders,
            receiver,
            raft,
            request_timeout,
            election_timeout: options.election_timeout,
            counts,
            stop,
            wal,
            since_snapshot,
            lanes: [snapshot_lane, apply_lane, read_lane],
        })
    }

    /// What answers the peers of this node.
    #[must_use]
    pub fn receiver(&self) -> Arc<dyn Receive> {
        Arc::new(self.receiver.clone())
    }

    /// Sets what answers [`Node::ask`] and [`Node::ask_leader`] of other members.
    pub fn answer_with(&self, ask: Ask) {
        *self.receiver.ask.write() = Some(ask);
    }

    /// Asks the member that leads, which is not this one.
    ///
    /// # Errors
    /// [`ReadError::NoLeader`] when no leader is known, or it is this node, or it has refused to answer: it has done nothing.
    /// [`ReadError::TimedOut`] when it may have.
    pub async fn ask_leader(&self, question: Bytes) -> Result<Bytes, ReadError> {
        let Some(Leader::Other(leadership)) = self.leaders.now() else { return Err(ReadError::NoLeader) };
        self.ask(MemberId(leadership.member), question).await
    }

    /// Asks another member, whether it leads or not.
    ///
    /// # Errors
    /// As [`Node::ask_leader`]; [`ReadError::NoLeader`] also when there is no such member.
    pub async fn ask(&self, member: MemberId, question: Bytes) -> Result<Bytes, ReadError> {
        let link = self.leaders.link(member.0).ok_or(ReadError::NoLeader)?;
        link.call(Call::Ask, question, self.request_timeout).await.map_err(|error| match error {
            LinkError::NotSent(_) | LinkError::Refused(_) => ReadError::NoLeader,
            LinkError::Lost(_) => ReadError::TimedOut,
        })
    }

    /// Calls all other members for nothing but to be refused if this one was removed. None of them needs to lead.
    pub async fn show_itself(&self) {
        let own = self.raft.node_id();
        for member in self.membership().members.into_iter().filter(|member| member.0 != *own) {
            if let Some(link) = self.leaders.link(member.0) {
                // Whoever carries the call sees a refusal; what is answered does not matter.
                drop(link.call(Call::ReadIndex, Bytes::new(), self.election_timeout).await);
            }
        }
    }

    /// Times how long the other members take to answer.
    pub async fn measure_peers(&self) {
        let own = MemberId(*self.raft.node_id());
        let others = self.membership().members.into_iter().filter(|member| *member != own);
        let measuring = others.filter_map(|member| {
            let link = self.leaders.link(member.0)?;
            Some(async move {
                let begun = R::Instant::now();
                // No member of any version knows an empty question: it is refused at once, which is an answer too.
                let answer = link.call(Call::Ask, Bytes::new(), self.election_timeout).await;
                if matches!(answer, Ok(_) | Err(LinkError::Refused(_))) {
                    self.counts.peers.of(member).round_trips.observe(begun.elapsed());
                }
            })
        });
        futures_util::future::join_all(measuring).await;
    }

    /// Confirms that this node leads, and has applied all that was committed when it was asked; gives its term.
    ///
    /// # Errors
    /// [`ReadError::NoLeader`] when another member leads, or nobody.
    pub async fn confirm_leading(&self) -> Result<u64, ReadError> {
        if let Some(leadership) = self.is_sole() {
            return Ok(leadership.term);
        }
        let Some(Leader::Myself(before)) = self.leaders.now() else { return Err(ReadError::NoLeader) };
        // A round that is shared with all reads. Nobody leads twice in one term, so it was this node's if it still leads.
        let confirmed = R::timeout(self.request_timeout, self.reads.barrier()).await;
        confirmed.unwrap_or(Err(ReadError::TimedOut))?;
        if self.leaders.now() == Some(Leader::Myself(before)) { Ok(before.term) } else { Err(ReadError::NoLeader) }
    }

    /// Raft's members, as this node's log says.
    #[must_use]
    pub fn membership(&self) -> Membership {
        membership(&self.raft)
    }

    /// How far the others have come; whoever has answered within an election timeout is present. Empty on a node that does
    /// not lead.
    #[must_use]
    pub fn progress(&self) -> BTreeMap<MemberId, Progress> {
        progress(&self.raft, self.election_timeout)
    }

    /// Changes Raft's membership by one step, and returns once it is committed.
    ///
    /// # Errors
    /// When this node does not lead, or the step before is not committed; it can be tried again.
    pub async fn change_membership(&self, step: &MembershipChange) -> Result<(), MembershipError> {
        change(&self.raft, step).await
    }

    /// Hands leadership over to a member, or to whoever has most of the log, and waits until it leads.
    ///
    /// # Errors
    /// See [`HandoverError`].
    pub async fn hand_over(&self, to: Option<MemberId>) -> Result<(), HandoverError> {
        hand_over(&self.raft, to, self.election_timeout, self.election_timeout).await
    }

    /// Whether this node still leads in a term, by its own clock and what a quorum has last told it.
    pub async fn still_leads(&self, term: u64) -> bool {
        (self.leaders.is_alone() || holds_lease(&self.raft).await)
            && self.leaders.now().is_some_and(|leader| leader.is_me_in(term))
    }

    /// How long a request may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Waits until this node leads in another term than `than` and has applied all that came before, or, if it led, no
    /// longer leads. None when the node stops.
    pub async fn leading_changes(&self, than: Option<u64>) -> Option<Option<u64>> {
        let mut metrics = self.raft.server_metrics();
        loop {
            drop(metrics.borrow_and_update());
            match self.leaders.now() {
                Some(Leader::Myself(leadership)) if than != Some(leadership.term) => {
                    match confirm(&self.raft, &self.leaders).await {
                        Ok(leadership) => return Some(Some(leadership.term)),
                        Err(ReadError::Stopped) => return None,
                        // It lost its leadership again, or no quorum answers yet.
                        Err(_) if than.is_some() => return Some(None),
                        Err(_) => R::sleep(CONFIRM_PAUSE).await,
                    }
                    continue;
                }
                Some(Leader::Myself(_)) => {}
                _ if than.is_some() => return Some(None),
                _ => {}
            }
            metrics.changed().await.ok()?;
        }
    }

    /// Waits until a leader is known and this node has applied everything that it had before a restart.
    ///
    /// # Errors
    /// When the node stops, or `timeout` passes, if there is one.
    pub async fn ready(&self, timeout: Option<Duration>) -> Result<(), ConsensusError> {
        let has_leader = |metrics: &openraft::RaftMetrics<_>| metrics.current_leader.is_some();
        self.raft
            .wait(timeout)
            .metrics(has_leader, "a leader")
            .await
            .map_err(|error| ConsensusError::Raft(error.to_string()))?;
        self.raft.wait_for_recovery(timeout).await.map_err(|error| ConsensusError::Raft(error.to_string()))?;
        Ok(())
    }

    /// Proposes a command and returns its reply once it was committed and applied. Dropping the future
    /// leaves the outcome open: the command may still be applied.
    ///
    /// # Errors
    /// See [`ProposeError`]; each says whether the command may have happened.
    pub async fn propose(&self, command: Bytes) -> Result<S::Reply, ProposeError> {
        let pending = self.counts.proposals_pending.hold();
        let outcome = R::timeout(self.request_timeout, self.batcher.propose(command)).await;
        drop(pending);
        let outcome = outcome.unwrap_or(Err(ProposeError::TimedOut));
        match &outcome {
            Ok(_) | Err(ProposeError::TooManyRequests | ProposeError::TooLarge) => {}
            Err(_) => self.counts.proposals_failed.inc(),
        }
        outcome
    }

    /// Returns once everything that was committed before the call has been applied here; a read that
    /// follows is linearizable.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        if self.is_sole().is_some() {
            return Ok(());
        }
        let outcome = R::timeout(self.request_timeout, self.reads.barrier()).await;
        let outcome = outcome.unwrap_or(Err(ReadError::TimedOut));
        if outcome.is_err() {
            self.counts.reads_failed.inc();
        }
        outcome
    }

    pub(super) fn is_sole(&self) -> Option<Leadership> {
        // A node that has stopped answers nobody.
        if self.stop.is_cancelled() { None } else { is_sole(&self.raft, &self.memberships) }
    }

    /// What this node has counted.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.raft.metrics().borrow_watched().current_term
    }

    /// What this node knows now.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        // Before the metrics are borrowed: who borrows them twice waits for the writer that waits for him.
        let leader = self.leaders.present(self.election_timeout);
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        RaftStatus {
            leader,
            term: metrics.current_term,
            last_index: metrics.last_log_index.unwrap_or(0),
            committed_index: metrics.local_committed.map_or(0, |log_id| log_id.index),
            applied_index: metrics.last_applied.map_or(0, |log_id| log_id.index),
        }
    }

    /// Has a snapshot written, behind which the log and older snapshots go, if the state is so many bytes and that gives
    /// back a sixteenth of what the last one takes, or more.
    pub fn give_back_disk(&self, state_bytes: u64) {
        self.since_snapshot.give_back_disk(state_bytes);
    }

    /// Returns when the node has stopped by itself, which only a fatal error does, with that error's text.
    pub async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(error) = &metrics.borrow_watched().running_state {
                return error.to_string();
            }
            if metrics.changed().await.is_err() {
                return "the node has stopped".to_owned();
            }
        }
    }

    /// Runs `work` until it ends or the node is stopped: for tasks that hold a handle.
    pub async fn while_running(&self, work: impl Future<Output = ()>) {
        self.stop.run_until_cancelled(work).await;
    }

    /// Stops the node; proposals and reads under way fail with `Stopped`. When it returns, nothing of the node
    /// touches its files any more: the directories may be opened again.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the raft task ended abnormally");
        }
        close(&self.wal, &self.lanes).await;
    }
}

/// Closes the log and waits until no lane touches files any more.
pub(super) async fn close<V: Vfs>(wal: &Wal<V>, lanes: &[Lane]) {
    let (closed, done) = oneshot::channel();
    wal.close(move || closed.send(()).unwrap_or_default());
    // An error says that the other side is gone, and with it the work that is waited for.
    done.await.ok();
    for lane in lanes {
        let (reached, done) = oneshot::channel();
        if lane.submit(move || reached.send(()).unwrap_or_default()).is_ok() {
            done.await.ok();
        }
    }
}

/// Begins to open the log on a lane: all of it is read, which takes as long as reading a snapshot.
pub(super) fn open_wal<V: Vfs>(
    options: &NodeOptions,
    vfs: V,
    executor: &impl Executor,
    lane: &Lane,
) -> Result<oneshot::Receiver<std::io::Result<Wal<V>>>, ConsensusError> {
    let (opened, opening) = oneshot::channel();
    let (dir, settings, executor) = (options.wal_dir.clone(), options.wal, executor.clone());
    let open = move || Wal::open(vfs, &dir, settings, &executor).map(|(wal, _)| wal).map_err(std::io::Error::other);
    lane.submit(move || drop(opened.send(open()))).map_err(stopped)?;
    Ok(opening)
}

/// openraft over all that was opened, in a cluster that is formed if it was not.
async fn open_raft<S: StateMachine, R: Runtime, V: Vfs>(
    options: &NodeOptions,
    peers: Peers<V>,
    log: LogStore<S, R, V>,
    applier: Applier<S, R, V>,
) -> Result<RaftHandle<S, R, V>, ConsensusError> {
    let config = Arc::new(options.raft_config()?);
    let raft = Arc::new(Raft::new(options.member.0, config, peers, log, applier).await.map_err(stopped)?);
    form_cluster(&raft, options).await?;
    Ok(raft)
}

/// The founders form the cluster, each on its own: all write the same first entry. A restarted sole voter needs
/// nobody's vote but its own, and asks for it at once instead of after an election timeout.
async fn form_cluster<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    options: &NodeOptions,
) -> Result<(), ConsensusError> {
    if !raft.is_initialized().await.map_err(stopped)? {
        let founders: BTreeMap<_, _> = options.founders.iter().map(|(id, node)| (id.0, node.clone())).collect();
        if !founders.is_empty() {
            raft.initialize(founders).await.map_err(stopped)?;
        }
    } else if raft.voter_ids().eq([options.member.0]) {
        raft.trigger().elect(false).await.map_err(stopped)?;
    }
    Ok(())
}

/// One lane each for snapshots, apply, and reads of old entries.
pub(super) fn lanes(executor: &impl Executor) -> Result<[Lane; 3], ConsensusError> {
    Ok([executor.lane("snapshot")?, executor.lane("apply")?, executor.lane("log-read")?])
}

pub(super) fn stopped(error: impl std::fmt::Display) -> ConsensusError {
    ConsensusError::Raft(error.to_string())
}
