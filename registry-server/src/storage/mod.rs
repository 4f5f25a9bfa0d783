//! What is on disk: the data directory, the write-ahead log and snapshot files.
//!
//! This room knows neither keys nor Raft: entries, votes and snapshot blocks are opaque bytes with an index.
//! `consensus` keeps its log here and `apply` its snapshots. Everything touches files through the [`Vfs`]
//! seam, so that a simulation can lose, tear and refuse what a real disk may.
//!
//! What always holds: nothing is reported durable before it, and the directory entry that leads to it, are
//! synced; no length or index read from a disk is trusted before its checksum and bounds are checked.

mod data_dir;
mod mem_vfs;
mod snapshot_file;
mod std_vfs;
#[cfg(test)]
mod testing;
mod vfs;
mod wal;

pub use data_dir::{DataDir, DataDirError};
pub use mem_vfs::{MemFile, MemLock, MemVfs, Syncs, Unsynced};
pub use snapshot_file::{
    Run as SnapshotRun, SnapshotError, SnapshotFile, SnapshotReader, SnapshotWriter, latest, older as older_snapshots,
    remove_older, remove_unfinished,
};
pub use std_vfs::{StdFile, StdLock, StdVfs};
pub use vfs::{FileStamp, OpenMode, Vfs, VfsFile};
pub use wal::{
    AroundSync, CutTail, Found as FoundInWal, Record as WalRecord, Recovered, Reservation, Wal, WalError, WalOptions,
    WalState, survey as survey_wal,
};
