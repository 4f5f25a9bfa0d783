//! Snapshot files: written on a lane of their own while later entries are applied, read at start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use openraft::async_runtime::Instant as _;
use parking_lot::Mutex;

use super::applier::SinceSnapshot;
use super::encoding::{snapshot_meta_from_bytes, snapshot_meta_to_bytes};
use super::state_machine::{RestoreError, SnapshotSource, StateMachine};
use super::types::{RaftSnapshot, RaftSnapshotMeta};
use crate::storage::{
    SnapshotError, SnapshotFile, SnapshotReader, SnapshotRun, SnapshotWriter, Vfs, latest, older_snapshots,
    remove_older, remove_unfinished,
};
use crate::types::{Lane, Runtime};

/// A snapshot that failed is tried again after this part of the usual bytes.
const RETRY_FRACTION: u64 = 16;

/// A snapshot is due after this part of the last one's bytes. A start takes a byte of log two to three times as slowly
/// as one of a snapshot, so two fifths of a start are the log at most; writing snapshots costs four times as much as
/// writing the log at most.
const DUE_FRACTION: u64 = 4;

/// After each piece, writing rests for so many times as long as the piece took: the disk is the log's four fifths of the time.
const REST: u32 = 4;

/// What is cut off an old snapshot at once.
const SHRINK_BYTES: u64 = 4 << 20;

/// Runs of a megabyte that are read while one is restored.
const RUNS_AHEAD: usize = 16;

/// Writes and reads the node's snapshots.
pub(super) struct Snapshots<V: Vfs> {
    vfs: V,
    dir: PathBuf,
    lane: Lane,
    since_snapshot: Arc<SinceSnapshot>,
    at_least_bytes: u64,
    /// Threads that read ahead while a snapshot is restored; without any it is read as it is restored.
    readers: usize,
    /// The newest that counts. The directory may show a newer one whose name could not be synced: to purge the
    /// log behind that would lose both at the next power loss.
    newest: Arc<Mutex<Option<PathBuf>>>,
    /// What has come from other members and is not installed yet.
    incoming: Arc<Mutex<BTreeMap<PathBuf, Incoming<V>>>>,
}

impl<V: Vfs> Clone for Snapshots<V> {
    fn clone(&self) -> Self {
        Self {
            vfs: self.vfs.clone(),
            dir: self.dir.clone(),
            lane: self.lane.clone(),
            since_snapshot: self.since_snapshot.clone(),
            at_least_bytes: self.at_least_bytes,
            readers: self.readers,
            newest: self.newest.clone(),
            incoming: self.incoming.clone(),
        }
    }
}

impl<V: Vfs> Snapshots<V> {
    /// The next snapshot is due after a quarter as many bytes of entries as the last one holds, and never before
    /// `at_least_bytes`.
    ///
    /// Removes what a crash left unfinished. Blocking.
    pub(super) fn new(
        vfs: V,
        dir: PathBuf,
        lane: Lane,
        since_snapshot: Arc<SinceSnapshot>,
        at_least_bytes: u64,
        readers: usize,
    ) -> io::Result<Self> {
        remove_unfinished(&vfs, &dir).map_err(io::Error::other)?;
        let last = latest(&vfs, &dir).map_err(io::Error::other)?;
        let last_bytes = last.as_ref().map_or(0, |file| file.bytes);
        let newest = Arc::new(Mutex::new(last.map(|file| file.path)));
        let incoming = Arc::default();
        let snapshots = Self { vfs, dir, lane, since_snapshot, at_least_bytes, readers, newest, incoming };
        snapshots.set_due_behind(last_bytes);
        Ok(snapshots)
    }

    fn set_due_behind(&self, last_bytes: u64) {
        self.since_snapshot.set_last(last_bytes);
        self.since_snapshot.set_due_after(self.at_least_bytes.max(last_bytes / DUE_FRACTION));
    }

    /// The newest snapshot that is whole and synced. Blocking.
    pub(super) fn current(&self) -> io::Result<Option<RaftSnapshot>> {
        let Some(path) = self.newest.lock().clone() else { return Ok(None) };
        let reader = SnapshotReader::open(&self.vfs, &path).map_err(io::Error::other)?;
        let meta = snapshot_meta_from_bytes(reader.meta().clone()).map_err(io::Error::other)?;
        Ok(Some(RaftSnapshot { meta, snapshot: path }))
    }

    /// As [`Self::current`], on the lane.
    pub(super) async fn on_disk(&self) -> io::Result<Option<RaftSnapshot>> {
        let this = self.clone();
        self.lane.run(move || this.current()).await.map_err(io::Error::other)?
    }

    /// Begins a snapshot that another member sends.
    pub(super) async fn begin_incoming(&self, meta: &RaftSnapshotMeta) -> io::Result<Incoming<V>> {
        let (vfs, dir, head) = (self.vfs.clone(), self.dir.clone(), snapshot_meta_to_bytes(meta));
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        let create = move || SnapshotWriter::create(vfs, &dir, index, &head).map(|writer| Incoming(Box::new(writer)));
        self.lane.run(create).await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    /// Adds a block to it.
    pub(super) async fn add_incoming(&self, mut incoming: Incoming<V>, block: Bytes) -> io::Result<Incoming<V>> {
        let write = move || incoming.0.write_block(&block).map(|()| incoming);
        self.lane.run(write).await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    /// Keeps one that has come whole until it is installed, under the path that it will have. Before that it must not count:
    /// the log may have entries that contradict it.
    pub(super) fn hold_incoming(&self, incoming: Incoming<V>) -> PathBuf {
        let path = incoming.0.path().to_owned();
        self.incoming.lock().insert(path.clone(), incoming);
        path
    }

    /// Makes one that is being installed whole and durable.
    pub(super) async fn end_incoming(&self, path: &Path) -> io::Result<()> {
        let incoming = self.incoming.lock().remove(path);
        let incoming = incoming.ok_or_else(|| io::Error::other("the snapshot to install was not received"))?;
        self.lane.run(move || incoming.0.finish().map(drop)).await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    /// Removes one that was not installed.
    pub(super) async fn forget_incoming(&self, path: PathBuf) {
        let incoming = self.incoming.lock().remove(&path);
        if incoming.is_some() {
            // A lane that has ended drops it all the same.
            self.lane.run(move || drop(incoming)).await.ok();
        }
    }

    /// A snapshot that came from another member has replaced the state: it is the newest, and the log may be purged
    /// behind it.
    pub(super) async fn installed(&self, path: PathBuf) -> io::Result<()> {
        let (vfs, dir, newest) = (self.vfs.clone(), self.dir.clone(), self.newest.clone());
        let replace = move || {
            let installed = latest(&vfs, &dir)?.filter(|file| file.path == path);
            if let Some(installed) = &installed {
                *newest.lock() = Some(installed.path.clone());
                remove_older(&vfs, &dir, installed)?;
            }
            Ok(installed.map(|installed| installed.bytes))
        };
        let bytes = self.lane.run(replace).await.map_err(io::Error::other)?;
        if let Some(bytes) = bytes.map_err(|error: SnapshotError| io::Error::other(error))? {
            self.set_due_behind(bytes);
        }
        Ok(())
    }

    /// After a failure: the next attempt comes after a fraction of the usual bytes.
    pub(super) fn try_again_soon(&self) {
        self.since_snapshot.set_due_after(self.at_least_bytes / RETRY_FRACTION);
    }

    /// Replaces the machine's state by a snapshot. Blocking.
    ///
    /// Threads of their own read and verify some blocks ahead. That is half of the work, and most of it is the
    /// kernel's: copying, and handing memory out.
    pub(super) fn restore_into<S: StateMachine>(&self, path: &Path, machine: &mut S) -> Result<(), RestoreError> {
        let mut reader = SnapshotReader::open(&self.vfs, path).map_err(unreadable)?;
        if self.readers == 0 {
            let runs = std::iter::from_fn(|| reader.next_run().transpose());
            let blocks = runs.map(|run| run.and_then(SnapshotRun::read)).flat_map(into_blocks);
            return machine.restore(&mut { blocks });
        }
        let reader = Mutex::new(reader);
        let (coming, runs) = mpsc::sync_channel(RUNS_AHEAD);
        thread::scope(|scope| {
            for _ in 0..self.readers {
                let (reader, coming) = (&reader, coming.clone());
                let thread = thread::Builder::new().name("snapshot-read".to_owned());
                thread.spawn_scoped(scope, move || read_ahead(reader, &coming)).map_err(unreadable)?;
            }
            drop(coming);
            machine.restore(&mut runs.into_iter().flat_map(|run: Ahead| blocks_of(&run)))
        })
    }

    /// Writes a snapshot and removes the older ones. It counts only once it is whole and synced.
    ///
    /// Piece by piece, and resting in between, so that the disk is there for the log most of the time. Nobody waits for a
    /// snapshot: the log is longer meanwhile, that is all.
    pub(super) async fn write<R: Runtime>(
        &self,
        meta: RaftSnapshotMeta,
        source: impl SnapshotSource,
    ) -> io::Result<RaftSnapshot> {
        let (vfs, dir) = (self.vfs.clone(), self.dir.clone());
        let head = snapshot_meta_to_bytes(&meta);
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        let create = move || SnapshotWriter::create(vfs, &dir, index, &head).map(|writer| Box::new((writer, source)));
        let mut writing = self.lane.run(create).await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        loop {
            let begun = R::Instant::now();
            let step = self.lane.run(move || write_piece(writing)).await.map_err(io::Error::other)?;
            match step.map_err(io::Error::other)? {
                Step::More(more) => writing = more,
                Step::Whole(writer) => break self.finish::<R>(writer, meta).await,
            }
            rest::<R>(begun).await;
        }
    }

    /// Makes it count.
    async fn finish<R: Runtime>(&self, writer: SnapshotWriter<V>, meta: RaftSnapshotMeta) -> io::Result<RaftSnapshot> {
        let (vfs, newest) = (self.vfs.clone(), self.newest.clone());
        let finish = move || -> Result<Option<SnapshotFile>, SnapshotError> {
            let file = writer.finish()?;
            let mut newest = newest.lock();
            // One that came from the leader meanwhile may be ahead, and the log purged up to there: this one must not take its
            // place. Names are in the order of their indexes.
            if newest.as_ref().is_some_and(|known| *known > file.path) {
                vfs.remove_file(&file.path).map_err(|source| SnapshotError::Io { path: file.path.clone(), source })?;
                return Ok(None);
            }
            // At once: whoever asks for the newest next finds one that is there. openraft stops at one that is not.
            *newest = Some(file.path.clone());
            Ok(Some(file))
        };
        let finished = self.lane.run(finish).await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let Some(file) = finished else {
            let current = self.on_disk().await?;
            return current.ok_or_else(|| io::Error::other("the newest snapshot is gone"));
        };
        tracing::info!(index = file.index, bytes = file.bytes, path = %file.path.display(), "saved snapshot");
        self.set_due_behind(file.bytes);
        let snapshot = RaftSnapshot { meta, snapshot: file.path.clone() };
        // The new one counts; what is left of the old ones only takes space.
        if let Err(error) = self.remove_older::<R>(file).await {
            tracing::warn!(%error, "cannot remove older snapshots");
        }
        Ok(snapshot)
    }

    /// Gives back what older snapshots take, step by step.
    async fn remove_older<R: Runtime>(&self, keep: SnapshotFile) -> io::Result<()> {
        let (vfs, dir, kept) = (self.vfs.clone(), self.dir.clone(), keep.clone());
        let older = self.lane.run(move || older_snapshots(&vfs, &dir, &kept)).await.map_err(io::Error::other)?;
        for path in older.map_err(io::Error::other)? {
            loop {
                let (begun, vfs, path) = (R::Instant::now(), self.vfs.clone(), path.clone());
                let left = self.lane.run(move || vfs.shrink(&path, SHRINK_BYTES)).await.map_err(io::Error::other)??;
                if left == 0 {
                    break;
                }
                rest::<R>(begun).await;
            }
        }
        let (vfs, dir) = (self.vfs.clone(), self.dir.clone());
        let removed = self.lane.run(move || remove_older(&vfs, &dir, &keep)).await.map_err(io::Error::other)?;
        removed.map_err(io::Error::other)
    }
}

/// Leaves the disk to others, after a piece of work on it.
async fn rest<R: Runtime>(begun: R::Instant) {
    let took = begun.elapsed();
    if !took.is_zero() {
        R::sleep(took * REST).await;
    }
}

enum Step<V: Vfs, S> {
    More(Box<(SnapshotWriter<V>, S)>),
    Whole(SnapshotWriter<V>),
}

/// Goes on until something was synced, or there is no more to write. Blocking.
fn write_piece<V: Vfs, S: SnapshotSource>(
    mut writing: Box<(SnapshotWriter<V>, S)>,
) -> Result<Step<V, S>, SnapshotError> {
    let (writer, source) = &mut *writing;
    let before = writer.synced_bytes();
    while writer.synced_bytes() == before {
        let Some(block) = source.next_block() else { return Ok(Step::Whole(writing.0)) };
        writer.write_block(&block)?;
    }
    Ok(Step::More(writing))
}

/// A snapshot that is being received; dropping it removes what was written.
pub(super) struct Incoming<V: Vfs>(Box<SnapshotWriter<V>>);

/// A run of blocks that a reader is at work on.
type Ahead = mpsc::Receiver<Result<Vec<Bytes>, SnapshotError>>;

/// Reads one run after another, until the snapshot's end, its first error, or when nobody wants more.
fn read_ahead<V: Vfs>(reader: &Mutex<SnapshotReader<V>>, coming: &mpsc::SyncSender<Ahead>) {
    loop {
        let (done, blocks) = mpsc::sync_channel(1);
        let next = {
            let mut reader = reader.lock();
            let next = reader.next_run().transpose();
            // With the lock held, so that runs come in their order. It waits while enough are ahead.
            if next.is_none() || coming.send(blocks).is_err() {
                return;
            }
            next
        };
        // An error means that nobody wants it any more, which the next round finds out.
        drop(next.map(|run| done.send(run.and_then(SnapshotRun::read))));
    }
}

/// Waits until a run was read.
fn blocks_of(ahead: &Ahead) -> impl Iterator<Item = Result<Bytes, RestoreError>> + use<> {
    match ahead.recv() {
        Ok(read) => into_blocks(read),
        Err(_) => blocks_and_end(Vec::new(), Some(unreadable("its reader has stopped"))),
    }
}

fn into_blocks(read: Result<Vec<Bytes>, SnapshotError>) -> BlocksAndEnd {
    match read {
        Ok(blocks) => blocks_and_end(blocks, None),
        Err(error) => blocks_and_end(Vec::new(), Some(unreadable(error))),
    }
}

type BlocksAndEnd = Box<dyn Iterator<Item = Result<Bytes, RestoreError>>>;

fn blocks_and_end(blocks: Vec<Bytes>, error: Option<RestoreError>) -> BlocksAndEnd {
    Box::new(blocks.into_iter().map(Ok).chain(error.map(Err)))
}

fn unreadable(why: impl ToString) -> RestoreError {
    RestoreError::new("a snapshot", why)
}

#[cfg(test)]
mod tests {
    use openraft::impls::TokioRuntime;
    use openraft::impls::leader_id_adv::LeaderId;

    use super::super::types::RaftLogId;
    use super::*;
    use crate::storage::MemVfs;

    struct NoBlocks;

    impl SnapshotSource for NoBlocks {
        fn next_block(&mut self) -> Option<Bytes> {
            None
        }
    }

    #[tokio::test]
    async fn one_that_was_overtaken_while_it_was_written_does_not_count() {
        let (vfs, dir) = (MemVfs::new(), PathBuf::from("/snap"));
        vfs.create_dir_all(&dir).unwrap();
        let lane = Lane::new(|job| {
            job();
            Ok(())
        });
        let snapshots = Snapshots::new(vfs.clone(), dir.clone(), lane, Arc::default(), 1 << 20, 0).unwrap();
        let meta = |index| RaftSnapshotMeta {
            last_log_id: Some(RaftLogId { leader_id: LeaderId { term: 1, node_id: 1 }, index }),
            ..RaftSnapshotMeta::default()
        };
        let index = |snapshot: RaftSnapshot| snapshot.meta.last_log_id.map(|last| last.index);
        let ahead = snapshots.write::<TokioRuntime>(meta(0x20), NoBlocks).await.unwrap();
        assert_eq!(index(ahead), Some(0x20));
        let behind = snapshots.write::<TokioRuntime>(meta(0x1f), NoBlocks).await.unwrap();
        assert_eq!(index(behind), Some(0x20));
        assert_eq!(index(snapshots.current().unwrap().unwrap()), Some(0x20));
        assert_eq!(vfs.list(&dir).unwrap().len(), 1);
        let next = snapshots.write::<TokioRuntime>(meta(0x100), NoBlocks).await.unwrap();
        assert_eq!((index(next), vfs.list(&dir).unwrap().len()), (Some(0x100), 1));
    }
}
