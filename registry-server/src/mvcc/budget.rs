//! How much one slice of a long read may look at while the owner's lock is held.
//!
//! What counts is what was looked at, not what was found: history is full of garbage right after a
//! compaction, and a slice that goes on until it has found enough would walk all of it.

/// What is left of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Budget {
    /// A few milliseconds of work: each record costs a search of the index.
    pub(super) const SLICE: Self = Self { records: 16_384, bytes: 1 << 20 };

    /// Less than a chunk: whoever takes whole chunks takes one, or a few that are almost empty.
    pub(super) const CHUNK: Self = Self { records: 2_048, bytes: 128 << 10 };

    /// One record of so many bytes was looked at.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}
