//! Why no member can be made of a snapshot.

use std::io;
use std::path::{Path, PathBuf};

use crate::bbolt::ImageError;
use crate::raft_snapshot::RaftSnapshotError;
use crate::status::DatabaseError;
use crate::wal::WalFileError;

/// Why no member can be made of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// There is data already.
    #[error("data-dir {path:?} not empty or could not be read: give --data-dir a new directory")]
    DataDirNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A restore did not come to its end, or goes on.
    #[error("{path:?} is what a restore has left that was stopped: remove it")]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// There is a log already.
    #[error("wal-dir {path:?} exists: give --wal-dir a new directory")]
    WalDirExists {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing says whether the file is whole.
    #[error(
        "{}: snapshot missing hash but --skip-hash-check=false: a database that was copied from a member's directory has none; give --skip-hash-check for it",
        path.display()
    )]
    NoDigest {
        /// The snapshot.
        path: PathBuf,
    },
    /// The file is not as it was written.
    #[error(
        "{} is damaged: expected sha256 {stored}, got {computed}; take the snapshot anew, or give --skip-hash-check to try what is left of it",
        path.display()
    )]
    WrongDigest {
        /// The snapshot.
        path: PathBuf,
        /// The digest at its end.
        stored: String,
        /// That of the rest.
        computed: String,
    },
    /// It is no database of etcd's, or damaged.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no greater revision.
    #[error(
        "--bump-revision {bump} is too much: the snapshot is of revision {newest}, and none is above 9223372036854775807"
    )]
    TooFar {
        /// The snapshot's revision.
        newest: i64,
        /// By how much it was to grow.
        bump: u64,
    },
    /// Somebody wrote into the file meanwhile.
    #[error("{} changed while it was read: copy the database of a member that is stopped", path.display())]
    Changed {
        /// The snapshot.
        path: PathBuf,
    },
    /// The snapshot of Raft's cannot be written.
    #[error(transparent)]
    RaftSnapshot(#[from] RaftSnapshotError),
    /// The log cannot be written.
    #[error(transparent)]
    Wal(#[from] WalFileError),
}

impl RestoreError {
    /// For [`Result::map_err`].
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }
}

impl From<ImageError> for RestoreError {
    fn from(error: ImageError) -> Self {
        Self::Database(error.into())
    }
}
