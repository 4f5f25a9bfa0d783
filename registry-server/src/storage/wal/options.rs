//! The log's settings and the limits that follow from them.

use std::ops::RangeInclusive;

use super::batch::ALIGN_BYTES;
use super::record::RECORD_HEADER_BYTES;

/// Bounds of [`WalOptions::segment_bytes`]. Offsets in a segment are kept in 32 bits.
pub(super) const SEGMENT_BYTES: RangeInclusive<u64> = 16 << 10..=1 << 30;

/// How much longer an entry may become between [`Wal::reserve`](super::Wal::reserve) and
/// [`Wal::append`](super::Wal::append): its log id and kind are known only when it is appended.
pub(super) const ENTRY_OVERHEAD_BYTES: u64 = 64;

/// Settings of a log.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// The size of a segment, in bytes: 16 KiB to 1 GiB, else the nearest bound; 64 MiB by default.
    /// [`WalOptions::max_entry_bytes`] follows from it.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries are kept in memory; entries that are not durable are kept in any
    /// case (at most 64 MiB of reserved ones). 8 MiB by default: followers that lag more are fed from files.
    pub cache_bytes: usize,
    /// Acknowledges without syncing: a power loss then loses acknowledged writes and may leave a log that is
    /// refused. For tests. Off by default.
    pub unsafe_no_fsync: bool,
    /// A random number that no client can know, drawn anew at each start; segments made from now on keep it.
    /// With one that can be guessed, a client can craft values after which, when a power loss tears them, the
    /// log is refused as damaged. 0 by default, for tests.
    pub salt: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, cache_bytes: 8 << 20, unsafe_no_fsync: false, salt: 0 }
    }
}

impl WalOptions {
    /// The largest entry that [`Wal::reserve`](super::Wal::reserve) takes, in bytes: an eighth of a segment,
    /// less what surrounds an entry there (8,388,527 bytes by default).
    #[must_use]
    pub fn max_entry_bytes(&self) -> usize {
        let record_bytes = self.within_bounds().max_record_bytes();
        usize::try_from(record_bytes - ENTRY_OVERHEAD_BYTES).map_or(0, |bytes| bytes - RECORD_HEADER_BYTES)
    }

    /// The largest entry's record.
    pub(super) fn max_record_bytes(&self) -> u64 {
        self.segment_bytes / 8
    }

    /// The largest record of a vote, committed or purged id: a new segment begins with one of each.
    pub(super) fn max_control_bytes(&self) -> u64 {
        self.segment_bytes / 32
    }

    /// The same settings with a segment size that is possible.
    pub(super) fn within_bounds(self) -> Self {
        let segment_bytes = self.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        Self { segment_bytes: segment_bytes.next_multiple_of(ALIGN_BYTES as u64), ..self }
    }
}
