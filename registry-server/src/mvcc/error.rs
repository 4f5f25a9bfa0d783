//! What the store refuses.

/// Why a read, a compaction or a restore failed. The first two texts are etcd's and go on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MvccError {
    /// The revision lies before the compacted one; for a compaction also at it.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// The revision has not happened yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// Bytes of a snapshot are not what this store writes.
    #[error("mvcc: corrupt records: {what}")]
    Corrupt {
        /// The rule that the bytes break.
        what: &'static str,
    },
}

impl MvccError {
    pub(super) const fn corrupt(what: &'static str) -> Self {
        Self::Corrupt { what }
    }
}
