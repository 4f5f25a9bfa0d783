//! Snapshot files: written on a lane of their own while later entries are applied, read at start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::applier::SinceSnapshot;
use super::encoding::{snapshot_meta_from_bytes, snapshot_meta_to_bytes};
use super::state_machine::{RestoreError, SnapshotSource, StateMachine};
use super::types::{RaftSnapshot, RaftSnapshotMeta};
use crate::storage::{SnapshotError, SnapshotReader, SnapshotWriter, Vfs, latest, remove_older, remove_unfinished};
use crate::types::Lane;

/// A snapshot that failed is tried again after this part of the usual bytes.
const RETRY_FRACTION: u64 = 16;

/// A snapshot is due after this part of the last one's bytes. A start reads the log three times as slowly as a
/// snapshot, so the log behind one must stay smaller; writing them costs at most twice as much as writing the log.
const DUE_FRACTION: u64 = 2;

/// Blocks that are read while one is restored: some megabytes.
const BLOCKS_AHEAD: usize = 16;

/// Writes and reads the node's snapshots.
pub(super) struct Snapshots<V: Vfs> {
    vfs: V,
    dir: PathBuf,
    lane: Lane,
    since_snapshot: Arc<SinceSnapshot>,
    at_least_bytes: u64,
    /// The newest that counts. The directory may show a newer one whose name could not be synced: to purge the
    /// log behind that would lose both at the next power loss.
    newest: Arc<Mutex<Option<PathBuf>>>,
}

impl<V: Vfs> Clone for Snapshots<V> {
    fn clone(&self) -> Self {
        Self {
            vfs: self.vfs.clone(),
            dir: self.dir.clone(),
            lane: self.lane.clone(),
            since_snapshot: self.since_snapshot.clone(),
            at_least_bytes: self.at_least_bytes,
            newest: self.newest.clone(),
        }
    }
}

impl<V: Vfs> Snapshots<V> {
    /// The next snapshot is due after half as many bytes of entries as the last one holds, and never before
    /// `at_least_bytes`.
    ///
    /// Removes what a crash left unfinished. Blocking.
    pub(super) fn new(
        vfs: V,
        dir: PathBuf,
        lane: Lane,
        since_snapshot: Arc<SinceSnapshot>,
        at_least_bytes: u64,
    ) -> io::Result<Self> {
        remove_unfinished(&vfs, &dir).map_err(io::Error::other)?;
        let last = latest(&vfs, &dir).map_err(io::Error::other)?;
        let last_bytes = last.as_ref().map_or(0, |file| file.bytes);
        let newest = Arc::new(Mutex::new(last.map(|file| file.path)));
        let snapshots = Self { vfs, dir, lane, since_snapshot, at_least_bytes, newest };
        snapshots.set_due_behind(last_bytes);
        Ok(snapshots)
    }

    fn set_due_behind(&self, last_bytes: u64) {
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
        let (done, outcome) = oneshot::channel();
        let this = self.clone();
        self.lane.submit(move || drop(done.send(this.current()))).map_err(io::Error::other)?;
        outcome.await.map_err(|_| stopped())?
    }

    /// After a failure: the next attempt comes after a fraction of the usual bytes.
    pub(super) fn try_again_soon(&self) {
        self.since_snapshot.set_due_after(self.at_least_bytes / RETRY_FRACTION);
    }

    /// Replaces the machine's state by a snapshot. Blocking.
    ///
    /// A thread of its own reads and verifies a few blocks ahead, which is half of the work.
    pub(super) fn restore_into<S: StateMachine>(&self, path: &Path, machine: &mut S) -> Result<(), RestoreError> {
        let failed = |error| RestoreError::new("a snapshot", error);
        let mut reader = SnapshotReader::open(&self.vfs, path).map_err(failed)?;
        let (blocks, ahead) = mpsc::sync_channel(BLOCKS_AHEAD);
        thread::scope(|scope| {
            // Ends at the snapshot's end, its first error, or when the machine wants no more.
            let read_ahead = move || {
                let read = std::iter::from_fn(|| reader.next_block().map_err(failed).transpose());
                read.map(|block| blocks.send(block)).take_while(Result::is_ok).count()
            };
            let thread = thread::Builder::new().name("snapshot-read".to_owned());
            thread.spawn_scoped(scope, read_ahead).map_err(|error| RestoreError::new("a snapshot", error))?;
            machine.restore(&mut ahead.into_iter())
        })
    }

    /// Writes a snapshot and removes the older ones. It counts only once it is whole and synced.
    pub(super) async fn write(&self, meta: RaftSnapshotMeta, source: impl SnapshotSource) -> io::Result<RaftSnapshot> {
        let (done, outcome) = oneshot::channel();
        let (vfs, dir) = (self.vfs.clone(), self.dir.clone());
        let head = snapshot_meta_to_bytes(&meta);
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        self.lane
            .submit(move || drop(done.send(write_file(&vfs, &dir, index, &head, source).map_err(io::Error::other))))
            .map_err(io::Error::other)?;
        let (path, bytes) = outcome.await.map_err(|_| stopped())??;
        self.set_due_behind(bytes);
        *self.newest.lock() = Some(path.clone());
        Ok(RaftSnapshot { meta, snapshot: path })
    }
}

fn stopped() -> io::Error {
    io::Error::other("the snapshot lane stopped in the middle of its work")
}

fn write_file<V: Vfs>(
    vfs: &V,
    dir: &Path,
    index: u64,
    head: &Bytes,
    mut source: impl SnapshotSource,
) -> Result<(PathBuf, u64), SnapshotError> {
    let mut writer = SnapshotWriter::create(vfs.clone(), dir, index, head)?;
    let mut bytes = 0;
    while let Some(block) = source.next_block() {
        bytes += block.len() as u64;
        writer.write_block(&block)?;
    }
    let file = writer.finish()?;
    // The new one counts; what is left of the old ones only takes space.
    if let Err(error) = remove_older(vfs, dir, &file) {
        tracing::warn!(%error, "cannot remove older snapshots");
    }
    tracing::info!(index, bytes, path = %file.path.display(), "saved snapshot");
    Ok((file.path, bytes))
}
