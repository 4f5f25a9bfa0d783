//! Committed entries to the state machine, on a lane of its own.
//!
//! openraft's task hands over runs of entries and waits; the state machine works on the lane's thread, so
//! heartbeats go on meanwhile. The replies leave from there as well.

use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::entry::RaftEntry as _;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, Raft, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counts::ApplyClock;
use super::encoding::commands;
use super::log_store::LogStore;
use super::pending::Pending;
use super::snapshots::Snapshots;
use super::state_machine::{Position, RestoreError, StateMachine};
use super::types::{
    Leadership, RaftEntry, RaftLogId, RaftMembership, RaftSnapshot, RaftSnapshotMeta, RaftStoredMembership, TypeConfig,
};
use crate::storage::Vfs;
use crate::types::{Lane, MemberId, Runtime};

/// openraft with our types.
pub(super) type RaftHandle<S, R, V> = Arc<Raft<TypeConfig<S, R>, Applier<S, R, V>>>;

/// Entries and bytes that one job on the lane takes, at most.
const RUN_ENTRIES: usize = 256;
const RUN_BYTES: usize = 4 * 1024 * 1024;

/// Garbage on disk is worth a snapshot when it is this part of the last one, and so many bytes.
const WORTH_FRACTION: u64 = 16;
const WORTH_BYTES: u64 = 64 << 10;

/// The log writes at least a sector for an entry that is synced alone.
const SECTOR_BYTES: usize = 512;

type Responding<S, R> = (RaftEntry, Option<ApplyResponder<TypeConfig<S, R>>>);

/// How much was applied since the last snapshot was begun, and who wants to know.
#[derive(Debug, Default)]
pub(super) struct SinceSnapshot {
    bytes: AtomicU64,
    due_bytes: AtomicU64,
    /// What the last snapshot takes on disk.
    last_bytes: AtomicU64,
    /// Woken when a snapshot is due.
    pub(super) due: Notify,
}

impl SinceSnapshot {
    /// A snapshot is due once `bytes` of entries were applied after the last one.
    pub(super) fn set_due_after(&self, bytes: u64) {
        self.due_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The last snapshot has so many bytes.
    pub(super) fn set_last(&self, bytes: u64) {
        self.last_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Has a snapshot written now, if one of a state of so many bytes gives back a part of the disk that is worth it: the log
    /// since the last one, and what that one holds beyond the state.
    pub(super) fn give_back_disk(&self, state_bytes: u64) {
        let last = self.last_bytes.load(Ordering::Relaxed);
        let garbage = self.bytes.load(Ordering::Relaxed) + last.saturating_sub(state_bytes);
        if garbage >= (last / WORTH_FRACTION).max(WORTH_BYTES) {
            self.due.notify_one();
        }
    }

    fn add(&self, bytes: usize) {
        let total = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if total >= self.due_bytes.load(Ordering::Relaxed) {
            self.due.notify_one();
        }
    }
}

/// openraft's state machine: ours, the lane that it lives on, and its snapshots.
pub(super) struct Applier<S: StateMachine, R, V: Vfs> {
    machine: Arc<Mutex<S>>,
    lane: Lane,
    snapshots: Snapshots<V>,
    since_snapshot: Arc<SinceSnapshot>,
    background: Arc<Background<S>>,
    clock: ApplyClock,
    pending: Arc<Pending<S>>,
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
        clock: ApplyClock,
        pending: Arc<Pending<S>>,
    ) -> Result<Self, super::ConsensusError> {
        let mut machine = machine;
        let meta = match snapshots.current()? {
            Some(snapshot) => {
                snapshots.restore_into(&snapshot.snapshot, &mut machine)?;
                let upto = snapshot.meta.last_log_id.map_or(0, |last| last.index);
                tracing::info!(path = %snapshot.snapshot.display(), upto, "restored a snapshot");
                snapshot.meta
            }
            None => RaftSnapshotMeta::default(),
        };
        let machine = Arc::new(Mutex::new(machine));
        let background =
            Arc::new(Background { machine: Arc::downgrade(&machine), lane: lane.clone(), state: AtomicU8::new(IDLE) });
        let wake = background.clone();
        machine.lock().on_background_work(Arc::new(move || wake.start()));
        Ok(Self {
            machine,
            lane,
            snapshots,
            since_snapshot,
            background,
            clock,
            pending,
            last_applied: meta.last_log_id,
            membership: meta.last_membership,
            runtime: PhantomData,
        })
    }

    /// Applies what the log says was committed after the snapshot, before openraft would: it takes 64 entries at a
    /// time from thread to thread and back, while here the next are read and decoded as some are applied. Blocking,
    /// as `open`.
    ///
    /// # Errors
    /// Entries that are missing, or cannot be read or decoded.
    pub(super) async fn replay(&mut self, log: &LogStore<S, R, V>) -> Result<(), super::ConsensusError> {
        let Some(committed) = log.committed()? else { return Ok(()) };
        let entries = self.replay_to(log, committed.index).await?;
        if entries > 0 {
            tracing::info!(entries, upto = committed.index, "applied what the log says was committed");
        }
        Ok(())
    }

    /// Applies the entries up to an index, as above; says how many there were.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn replay_to(&mut self, log: &LogStore<S, R, V>, last: u64) -> Result<u64, super::ConsensusError> {
        let begin = self.last_applied.map_or(0, |applied| applied.index + 1);
        let (mut next, end) = (begin, last + 1);
        if next >= end {
            return Ok(0);
        }
        let mut ahead = log.read_ahead(next..end, decoded::<S>)?;
        while next < end {
            let entries = ahead.entries().await?;
            let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else {
                return Err(missing(next, end).into());
            };
            if first.log_id.index != next {
                return Err(missing(next, first.log_id.index).into());
            }
            next = last.log_id.index + 1;
            ahead = log.read_ahead(next..end, decoded::<S>)?;
            let machine = self.machine.clone();
            let mut machine = machine.lock();
            for (entry, commands) in entries {
                self.remember(&entry);
                self.since_snapshot.add(log_len(&entry));
                if let Some(membership) = &entry.payload.membership {
                    tell_members(&mut *machine, membership);
                }
                let at = position(&entry);
                commands.into_iter().for_each(|command| drop(machine.apply(at, command)));
            }
            machine.background();
        }
        self.background.start();
        Ok(end - begin)
    }

    async fn on_lane<T: Send + 'static>(&self, work: impl FnOnce(&mut S) -> T + Send + 'static) -> io::Result<T> {
        let machine = self.machine.clone();
        self.lane.run(move || work(&mut machine.lock())).await.map_err(io::Error::other)
    }

    fn remember(&mut self, entry: &RaftEntry) {
        self.last_applied = Some(entry.log_id);
        if let Some(membership) = &entry.payload.membership {
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
            let (mut bytes, mut log_bytes) = (run[0].0.payload.batch_len(), log_len(&run[0].0));
            // Whatever is ready already joins the run; nothing is waited for.
            while run.len() < RUN_ENTRIES && bytes < RUN_BYTES {
                let Some(Some(entry)) = entries.next().now_or_never() else { break };
                let entry = entry?;
                bytes += entry.0.payload.batch_len();
                log_bytes += log_len(&entry.0);
                run.push(entry);
            }
            for (entry, _) in &run {
                self.remember(entry);
            }
            let (clock, pending) = (self.clock.clone(), self.pending.clone());
            self.on_lane(move |machine| apply_run::<S, R>(machine, run, &clock, &pending))
                .await?
                .map_err(io::Error::other)?;
            self.since_snapshot.add(log_bytes);
            self.background.start();
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
        self.snapshots.end_incoming(&snapshot).await?;
        let path = snapshot.clone();
        self.on_lane(move |machine| snapshots.restore_into(&path, machine)).await?.map_err(io::Error::other)?;
        self.pending.skipped(meta.last_log_id.map(|last| last.leader_id.into()).unwrap_or_default());
        self.snapshots.installed(snapshot).await?;
        self.since_snapshot.bytes.store(0, Ordering::Relaxed);
        self.background.start();
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        self.snapshots.on_disk().await
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
        match self.snapshots.write::<R>(self.meta.clone(), source).await {
            Ok(snapshot) => Ok(snapshot),
            // openraft would stop the node. A snapshot only saves space: the log still has everything, so
            // the last one stays the current one, nothing is purged, and the next is tried before long.
            Err(error) => {
                tracing::error!(%error, "cannot write a snapshot; the log is kept and it is tried again");
                self.snapshots.try_again_soon();
                Ok(self.snapshots.on_disk().await?.unwrap_or_else(no_snapshot))
            }
        }
    }
}

/// The state machine's work that can wait: one slice at a time at the end of the lane's queue, so that
/// entries that came meanwhile go first.
struct Background<S> {
    machine: Weak<Mutex<S>>,
    lane: Lane,
    state: AtomicU8,
}

/// Nothing is to be done.
const IDLE: u8 = 0;
/// A slice is in the lane.
const RUNNING: u8 = 1;
/// A slice is in the lane, and somebody asked for another since it began.
const ASKED: u8 = 2;

impl<S: StateMachine> Background<S> {
    /// Begins, unless it is under way; then it goes on until nothing is left of what was there at this call.
    fn start(self: &Arc<Self>) {
        if self.state.swap(ASKED, Ordering::AcqRel) == IDLE {
            self.submit();
        }
    }

    fn submit(self: &Arc<Self>) {
        let this = self.clone();
        // A lane that has ended belongs to a node that stops: the work is done after the next start.
        drop(self.lane.submit(move || this.slice()));
    }

    fn slice(self: &Arc<Self>) {
        let Some(machine) = self.machine.upgrade() else { return };
        self.state.store(RUNNING, Ordering::Release);
        let more = machine.lock().background();
        let done = || self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if more || !done() {
            self.submit();
        }
    }
}

/// An entry with its commands, read and decoded ahead.
type Ready<S> = (RaftEntry, Vec<<S as StateMachine>::Command>);

fn decoded<S: StateMachine>(entry: RaftEntry) -> Result<Ready<S>, RestoreError> {
    let batch = entry.payload.batch.clone();
    let commands = batch.into_iter().flat_map(commands).map(|command| S::decode(command?)).collect::<Result<_, _>>()?;
    Ok((entry, commands))
}

pub(super) fn position(entry: &RaftEntry) -> Position {
    let log_id = entry.log_id();
    Position { term: log_id.leader_id.term, index: log_id.index }
}

fn tell_members(machine: &mut impl StateMachine, membership: &RaftMembership) {
    machine.members(&mut membership.nodes().map(|(id, node)| (MemberId(*id), node)));
}

/// The log has purged or lost entries that no snapshot holds.
fn missing(from: u64, to: u64) -> io::Error {
    let why = format!("the log's entries {from} to {} are in no snapshot and not in the log", to.saturating_sub(1));
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What openraft takes for "nothing newer than before".
fn no_snapshot() -> RaftSnapshot {
    RaftSnapshot { meta: RaftSnapshotMeta::default(), snapshot: PathBuf::new() }
}

/// What an entry takes in the log: one that is synced alone fills a sector, however small it is.
fn log_len(entry: &RaftEntry) -> usize {
    entry.payload.batch_len().max(SECTOR_BYTES)
}

fn apply_run<S: StateMachine, R: Runtime>(
    machine: &mut S,
    run: Vec<Responding<S, R>>,
    clock: &ApplyClock,
    pending: &Pending<S>,
) -> Result<(), RestoreError> {
    let mut clock = clock.begin::<R>();
    let mut answers = Vec::with_capacity(run.len());
    for (entry, responder) in run {
        let at = position(&entry);
        let leadership = Leadership::from(entry.log_id.leader_id);
        if let Some(membership) = &entry.payload.membership {
            tell_members(machine, membership);
        }
        let (waiters, replies) = match entry.payload.batch {
            Some(batch) => {
                let waiters = pending.applied(batch.origin);
                let apply = |command: Result<Bytes, RestoreError>| {
                    let command = command?;
                    let reply = machine.apply(at, S::decode(command.clone())?);
                    clock.applied(at, &command);
                    Ok(reply)
                };
                (waiters, commands(batch).map(apply).collect::<Result<Vec<_>, _>>()?)
            }
            None => (Vec::new(), Vec::new()),
        };
        pending.reached(leadership);
        answers.push((responder, waiters, replies));
    }
    clock.end();
    for (responder, waiters, replies) in answers {
        for (waiter, reply) in waiters.into_iter().zip(replies) {
            // A caller that is gone needs no answer.
            drop(waiter.send(Ok(reply)));
        }
        if let Some(responder) = responder {
            responder.send(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_given_back_only_if_there_is_a_part_of_it_to_be_had() {
        let asked = |since: usize, last: u64, state: u64| {
            let snapshot = SinceSnapshot::default();
            snapshot.set_due_after(u64::MAX);
            snapshot.set_last(last);
            snapshot.add(since);
            snapshot.give_back_disk(state);
            snapshot.due.notified().now_or_never().is_some()
        };
        let mib = 1 << 20;
        assert!(!asked(mib, 160 << 20, 160 << 20), "a log of a 160th");
        assert!(asked(10 * mib, 160 << 20, 160 << 20), "a log of a sixteenth");
        assert!(asked(mib, 160 << 20, 140 << 20), "a snapshot that holds an eighth of garbage");
        assert!(asked(mib, 0, mib as u64), "no snapshot yet");
        assert!(!asked(1_000, 0, 1_000), "next to nothing");
    }
}
