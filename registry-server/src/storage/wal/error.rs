//! What can go wrong with the log, and what the caller may do about each.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// An error of the write-ahead log. Clones share the source, as one failure is told to many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalError {
    /// No space to preallocate the next segment: the disk, or the user's share of it, is full. Nothing was
    /// reserved; try again after [`Wal::when_changed`](super::Wal::when_changed).
    #[error("no space left on the disk of the write-ahead log; writes are refused until there is room")]
    NoSpace,
    /// The next segment cannot be made, for another reason than space (no file descriptor is left, the
    /// device errs), and the current one is used up. Heals as [`WalError::NoSpace`] does.
    #[error("the next segment of the write-ahead log cannot be made: {0}")]
    NoSegment(Arc<io::Error>),
    /// Too much is reserved or waits to be written, or the next segment is still being prepared. Nothing was
    /// reserved; try again after [`Wal::when_changed`](super::Wal::when_changed).
    #[error("the write-ahead log cannot keep up; too many bytes wait to be written")]
    Full,
    /// A write or sync of the current segment failed. What is on the disk is unknown, so this log writes
    /// nothing ever again; the node must stop.
    #[error("the write-ahead log failed and is closed for good: {0}")]
    Failed(Arc<io::Error>),
    /// The log was closed; whether an operation that waited is on the disk is open.
    #[error("the write-ahead log is closed")]
    Closed,
    /// The entry can never fit: larger than an eighth of a segment.
    #[error("an entry of {bytes} bytes is too large for the write-ahead log, whose limit is {limit}")]
    TooLarge {
        /// The entry's size.
        bytes: u64,
        /// The largest size taken.
        limit: u64,
    },
    /// The entries do not continue the log; nothing was taken.
    #[error("entry {index} does not continue the log, which expects {expected}")]
    OutOfOrder {
        /// The index given.
        index: u64,
        /// The index that would continue the log.
        expected: u64,
    },
    /// The log on the disk is damaged where it cannot be a torn last write.
    #[error(
        "the write-ahead log is damaged in {} at byte {offset}: {reason}; it is not the last write, so it was \
         acknowledged and must not be dropped: restore this member from a snapshot, or remove it from the \
         cluster and add a new member with an empty data directory",
        segment.display()
    )]
    Corrupt {
        /// The damaged file.
        segment: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// The file system refused, while the log was opened.
    #[error("the write-ahead log cannot be opened: {}: {source}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: Arc<io::Error>,
    },
}

impl WalError {
    /// Wraps an error of the file system while the log is opened.
    pub(super) fn open(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Open { path, source: Arc::new(source) }
    }
}
