//! Snapshot files: written on a lane of their own while later entries are applied, read at start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::applier::SinceSnapshot;
use super::encoding::{snapshot_meta_from_bytes, snapshot_meta_to_bytes};
use super::state_machine::{RestoreError, SnapshotSource, StateMachine};
use super::types::{RaftSnapshot, RaftSnapshotMeta};
use crate::storage::{SnapshotFiles, SnapshotReader, Vfs};
use crate::types::Lane;

/// Writes and reads the node's snapshots.
pub(super) struct Snapshots<V: Vfs> {
    files: SnapshotFiles<V>,
    lane: Lane,
    since_snapshot: Arc<SinceSnapshot>,
    at_least_bytes: u64,
}

impl<V: Vfs> Clone for Snapshots<V> {
    fn clone(&self) -> Self {
        Self {
            files: self.files.clone(),
            lane: self.lane.clone(),
            since_snapshot: self.since_snapshot.clone(),
            at_least_bytes: self.at_least_bytes,
        }
    }
}

impl<V: Vfs> Snapshots<V> {
    /// The next snapshot is due after as many bytes of entries as the last one holds, and never before
    /// `at_least_bytes`: writing snapshots then costs at most as much as writing the log.
    pub(super) fn new(
        files: SnapshotFiles<V>,
        lane: Lane,
        since_snapshot: Arc<SinceSnapshot>,
        at_least_bytes: u64,
    ) -> Self {
        since_snapshot.set_due_after(at_least_bytes);
        Self { files, lane, since_snapshot, at_least_bytes }
    }

    /// The newest complete snapshot. Blocking.
    pub(super) fn current(&self) -> io::Result<Option<RaftSnapshot>> {
        let Some(path) = self.files.latest()? else { return Ok(None) };
        let reader = self.files.open(&path)?;
        let meta = snapshot_meta_from_bytes(reader.meta().clone()).map_err(io::Error::other)?;
        Ok(Some(RaftSnapshot { meta, snapshot: path }))
    }

    /// Replaces the machine's state by a snapshot. Blocking.
    pub(super) fn restore_into<S: StateMachine>(&self, path: &Path, machine: &mut S) -> Result<(), RestoreError> {
        let reader = self.files.open(path).map_err(|error| RestoreError::new("a snapshot", error))?;
        machine.restore(&mut Blocks(reader))
    }

    /// Writes a snapshot and removes the older ones. It counts only once it is whole and synced.
    pub(super) async fn write(&self, meta: RaftSnapshotMeta, source: impl SnapshotSource) -> io::Result<RaftSnapshot> {
        let (done, outcome) = oneshot::channel();
        let files = self.files.clone();
        let head = snapshot_meta_to_bytes(&meta);
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        self.lane
            .submit(move || drop(done.send(write_file(&files, index, &head, source))))
            .map_err(io::Error::other)?;
        let (path, bytes) =
            outcome.await.map_err(|_| io::Error::other("the snapshot lane stopped in the middle of its work"))??;
        self.since_snapshot.set_due_after(bytes.max(self.at_least_bytes));
        Ok(RaftSnapshot { meta, snapshot: path })
    }
}

fn write_file<V: Vfs>(
    files: &SnapshotFiles<V>,
    index: u64,
    head: &Bytes,
    mut source: impl SnapshotSource,
) -> io::Result<(PathBuf, u64)> {
    let mut writer = files.create(index, head)?;
    let mut bytes = 0;
    while let Some(block) = source.next_block() {
        bytes += block.len() as u64;
        writer.write_block(&block)?;
    }
    let path = writer.finish()?;
    files.remove_older(&path)?;
    tracing::info!(index, bytes, path = %path.display(), "saved snapshot");
    Ok((path, bytes))
}

struct Blocks<V: Vfs>(SnapshotReader<V>);

impl<V: Vfs> Iterator for Blocks<V> {
    type Item = Result<Bytes, RestoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_block().map_err(|error| RestoreError::new("a snapshot", error)).transpose()
    }
}
