//! How much one watch stream may hold, and how fast it may catch up.

use std::time::Duration;

/// The bounds of one stream. What is above them is fed from history later, or refused; it is never lost.
///
/// A stream whose client does not read holds at most what waits in its queue and what was taken out of it before
/// (`queue_bytes` each), or a slice of history instead of the latter; one answer of `answer_bytes`, once merged and once
/// encoded; and what HTTP/2 keeps to send (400 KiB). With the defaults that is about 11 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries (one a revision and group) that wait between the apply thread and the stream.
    pub queue_items: usize,
    /// Bytes of events that wait there, where events shared with other streams count in full.
    pub queue_bytes: usize,
    /// Entries that one step of catch-up makes; a single revision may make more.
    pub slice_items: usize,
    /// Bytes of history that one step of catch-up reads; a single revision may have more. The other streams of the
    /// thread wait meanwhile: some milliseconds.
    pub slice_bytes: usize,
    /// How long a stream that is behind rests after each step while something is written. Together with the bytes of a
    /// step it bounds what catching up takes from everybody else.
    pub rest: Duration,
    /// Events that waited are merged into answers of up to this many bytes; one revision may be longer.
    pub answer_bytes: usize,
    /// A watcher created with `fragment` gets longer answers in parts of fewer bytes than this. etcd's is
    /// max-request-bytes and 512 KiB of overhead.
    pub fragment_bytes: usize,
    /// Watchers of one stream; a create request above it is refused with "too many requests".
    pub watchers: usize,
    /// Bytes of all keys and range ends of one stream; refused in the same way.
    pub key_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_items: 1024,
            queue_bytes: 4 << 20,
            slice_items: 4096,
            slice_bytes: 512 << 10,
            rest: Duration::from_millis(8),
            answer_bytes: 1 << 20,
            fragment_bytes: 2 << 20,
            watchers: 100_000,
            key_bytes: 64 << 20,
        }
    }
}
