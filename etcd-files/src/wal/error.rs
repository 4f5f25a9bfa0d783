//! Why a log cannot be read or written.

use std::io;
use std::path::PathBuf;

/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalFileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// The directory has no file of a log.
    #[error("{} has no file of etcd's log (NUMBER-INDEX.wal)", dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// One of the files between the first and the last is missing.
    #[error("{}: file {sequence:016x} of etcd's log is missing: copy the whole directory", dir.display())]
    MissingFile {
        /// The directory.
        dir: PathBuf,
        /// The missing file's number.
        sequence: u64,
    },
    /// A record is not as it was written.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}
