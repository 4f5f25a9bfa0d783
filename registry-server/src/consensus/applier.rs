//! Committed entries to the state machine, on a lane of its own.
//!
//! openraft's task hands over runs of entries and waits; the state machine works on the lane's thread, so
//! heartbeats go on meanwhile. The replies leave from there as well.

use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{FutureExt, Stream, StreamExt};
use openraft::entry::RaftEntry as _;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, Raft, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::encoding::commands;
use super::snapshots::Snapshots;
use super::state_machine::{Position, RestoreError, StateMachine};
use super::types::{RaftEntry, RaftLogId, RaftSnapshot, RaftSnapshotMeta, RaftStoredMembership, TypeConfig};
use crate::storage::Vfs;
use crate::types::{Lane, Runtime};

/// openraft with our types.
pub(super) type RaftHandle<S, R, V> = Arc<Raft<TypeConfig<S, R>, Applier<S, R, V>>>;

/// Entries and bytes that one job on the lane takes, at most.
const RUN_ENTRIES: usize = 256;
const RUN_BYTES: usize = 4 * 1024 * 1024;

type Responding<S, R> = (RaftEntry, Option<ApplyResponder<TypeConfig<S, R>>>);

/// How much was applied since the last snapshot was begun, and who wants to know.
#[derive(Debug, Default)]
pub(super) struct SinceSnapshot {
    bytes: AtomicU64,
    due_bytes: AtomicU64,
    /// Woken when a snapshot is due.
    pub(super) due: Notify,
}

impl SinceSnapshot {
    /// A snapshot is due once `bytes` of entries were applied after the last one.
    pub(super) fn set_due_after(&self, bytes: u64) {
        self.due_bytes.store(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        let total = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if total >= self.due_bytes.load(Ordering::Relaxed) {
            self.due.notify_one();
        }
    }
}

/// openraft's state machine: ours, the lane that it lives on, and its snapshots.
pub(super) struct Applier<S, R, V: Vfs> {
    machine: Arc<Mutex<S>>,
    lane: Lane,
    snapshots: Snapshots<V>,
    since_snapshot: Arc<SinceSnapshot>,
    background: Background,
    last_applied: Option<RaftLogId>,
    membership: RaftStoredMembership,
    runtime: PhantomData<fn() -> R>,
}

impl<S: StateMachine, R: Runtime, V: Vfs> Applier<S, R, V> {
    /// Restores the newest snapshot, if there is one. Blocking: called once, before the node runs.
    pub(super) fn open(
        machine: S,
        lane: Lane,
        snapshots: Snapshots<V>,
        since_snapshot: Arc<SinceSnapshot>,
    ) -> Result<Self, super::ConsensusError> {
        let mut machine = machine;
        let meta = match snapshots.current()? {
            Some(snapshot) => {
                snapshots.restore_into(&snapshot.snapshot, &mut machine)?;
                snapshot.meta
            }
            None => RaftSnapshotMeta::default(),
        };
        Ok(Self {
            machine: Arc::new(Mutex::new(machine)),
            lane,
            snapshots,
            since_snapshot,
            background: Background::default(),
            last_applied: meta.last_log_id,
            membership: meta.last_membership,
            runtime: PhantomData,
        })
    }

    async fn on_lane<T: Send + 'static>(&self, work: impl FnOnce(&mut S) -> T + Send + 'static) -> io::Result<T> {
        let (done, outcome) = oneshot::channel();
        let machine = self.machine.clone();
        self.lane.submit(move || drop(done.send(work(&mut machine.lock())))).map_err(io::Error::other)?;
        outcome.await.map_err(|_| io::Error::other("the apply lane stopped in the middle of its work"))
    }

    fn remember(&mut self, entry: &RaftEntry) {
        self.last_applied = Some(entry.log_id);
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.membership = RaftStoredMembership::new(Some(entry.log_id), membership.clone());
        }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftStateMachine<TypeConfig<S, R>> for Applier<S, R, V> {
    type SnapshotData = PathBuf;
    type SnapshotBuilder = Builder<S, R, V>;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig<S, R>>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.next().await {
            let mut run = vec![first?];
            let mut bytes = entry_len(&run[0].0);
            // Whatever is ready already joins the run; nothing is waited for.
            while run.len() < RUN_ENTRIES && bytes < RUN_BYTES {
                let Some(Some(entry)) = entries.next().now_or_never() else { break };
                let entry = entry?;
                bytes += entry_len(&entry.0);
                run.push(entry);
            }
            for (entry, _) in &run {
                self.remember(entry);
            }
            self.on_lane(move |machine| apply_run::<S, R>(machine, run)).await?.map_err(io::Error::other)?;
            self.since_snapshot.add(bytes);
            self.background.start(&self.machine, &self.lane);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.since_snapshot.bytes.store(0, Ordering::Relaxed);
        let meta = RaftSnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() };
        let source = self.on_lane(|machine| machine.snapshot()).await;
        Builder { source: Some(source), meta, snapshots: self.snapshots.clone(), runtime: PhantomData }
    }

    async fn install_snapshot(&mut self, meta: &RaftSnapshotMeta, snapshot: PathBuf) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        self.on_lane(move |machine| snapshots.restore_into(&snapshot, machine)).await?.map_err(io::Error::other)?;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let snapshots = self.snapshots.clone();
        self.on_lane(move |_| snapshots.current()).await?.map_err(io::Error::other)
    }
}

/// Writes one snapshot, from a cut that was taken between two runs.
pub(super) struct Builder<S: StateMachine, R, V: Vfs> {
    source: Option<io::Result<S::Snapshot>>,
    meta: RaftSnapshotMeta,
    snapshots: Snapshots<V>,
    runtime: PhantomData<fn() -> R>,
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftSnapshotBuilder<TypeConfig<S, R>> for Builder<S, R, V> {
    type SnapshotData = PathBuf;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let source = self.source.take().expect("openraft builds each snapshot once")?;
        self.snapshots.write(self.meta.clone(), source).await
    }
}

/// The state machine's work that can wait: one slice at a time at the end of the lane's queue, so that
/// entries that came meanwhile go first.
#[derive(Debug, Clone, Default)]
struct Background(Arc<AtomicBool>);

impl Background {
    /// Begins, unless it is under way.
    fn start<S: StateMachine>(&self, machine: &Arc<Mutex<S>>, lane: &Lane) {
        if !self.0.swap(true, Ordering::AcqRel) {
            self.submit(machine.clone(), lane);
        }
    }

    fn submit<S: StateMachine>(&self, machine: Arc<Mutex<S>>, lane: &Lane) {
        let this = self.clone();
        let next = lane.clone();
        let slice = move || {
            if machine.lock().background() {
                this.submit(machine, &next);
            } else {
                this.0.store(false, Ordering::Release);
            }
        };
        // A lane that has ended belongs to a node that stops: the work is done after the next start.
        drop(lane.submit(slice));
    }
}

fn entry_len(entry: &RaftEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(batch) => batch.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

fn apply_run<S: StateMachine, R: Runtime>(machine: &mut S, run: Vec<Responding<S, R>>) -> Result<(), RestoreError> {
    let mut answers = Vec::with_capacity(run.len());
    for (entry, responder) in run {
        let log_id = entry.log_id();
        let at = Position { term: log_id.leader_id.term, index: log_id.index };
        let replies = match entry.payload {
            EntryPayload::Normal(batch) => {
                commands(batch).map(|command| machine.apply(at, command?)).collect::<Result<Vec<_>, _>>()?
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => Vec::new(),
        };
        answers.extend(responder.map(|responder| (responder, replies)));
    }
    for (responder, replies) in answers {
        responder.send(replies);
    }
    Ok(())
}
