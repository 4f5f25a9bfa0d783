//! The write-ahead log: entries with consecutive indices, the vote, the committed id and the purged id.
//!
//! ```text
//! append, save_vote, truncate_after, purge ─► log (what readers see) ─► queue ─► writer ─► segment ─► done
//!                                                 reads ◄─ cache ◄────────────── space makes one ahead
//! ```
//!
//! Each call takes effect for readers at once, waits in one ordered queue, and is answered when it is on the
//! disk. The unit of writing is the sync batch (`batch`): all that waits, one write, one sync, on the log's
//! own lane. Segments (`segment`) are preallocated; a new one begins with the vote, the committed id and the
//! purged id, so that old ones can go. `recovery` reads it all back.
//!
//! What always holds: operations become durable and are acknowledged in the order of the calls; at most one
//! batch is unsynced; after a failed write or sync nothing is ever written again; appends are refused while
//! there is no space for the segment after the current one.

mod batch;
mod error;
mod log;
mod queue;
mod read;
mod record;
mod recovery;
mod segment;
mod space;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

pub use self::error::WalError;
use self::queue::Done;
use self::record::{RECORD_HEADER_BYTES, Record};
use self::writer::State;
use super::vfs::Vfs;
use crate::types::{Executor, Lane};

/// Bounds of [`WalOptions::segment_bytes`]. Offsets in a segment are kept in 32 bits.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 30;

/// How many [`Wal::when_changed`] callers wait at once; more are called back immediately.
const MAX_WAITERS: usize = 1024;

/// Settings of a log.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// The size of a segment, in bytes: 16 KiB to 1 GiB, else the nearest bound; 64 MiB by default. An entry
    /// may take an eighth of it, one append a half.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries are kept in memory; entries that are not durable are kept in any
    /// case (at most 64 MiB). 32 MiB by default.
    pub cache_bytes: usize,
    /// Acknowledges without syncing: a power loss then loses acknowledged writes and may leave a log that is
    /// refused. For tests. Off by default.
    pub unsafe_no_fsync: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, cache_bytes: 32 << 20, unsafe_no_fsync: false }
    }
}

/// What the log holds, as readers see it: calls that are queued are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalState {
    /// The first entry's index; of an empty log the index after the purged one, or 0.
    pub first_index: u64,
    /// The last entry's index; `None` when there is no entry.
    pub last_index: Option<u64>,
    /// The last purged index and the id given with it.
    pub purged: Option<(u64, Bytes)>,
    /// The last vote.
    pub vote: Option<Bytes>,
    /// The last committed id.
    pub committed: Option<Bytes>,
    /// The payload bytes of the entries that are not purged.
    pub log_bytes: u64,
}

/// What opening a log found.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// What the log holds.
    pub state: WalState,
    /// The torn last batch that was cut; never one that was acknowledged.
    pub cut: Option<CutTail>,
}

/// A torn last batch that was cut when the log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutTail {
    /// The file.
    pub segment: PathBuf,
    /// Where the batch began, in bytes.
    pub offset: u64,
}

/// A write-ahead log. Clones share it. All calls but [`Wal::open`] and [`Wal::read`] return at once; `done`
/// callbacks run on the log's lane, in the order of the calls, and must be short.
pub struct Wal<V: Vfs> {
    core: Arc<Core<V>>,
}

/// Does the sync that it is given, once, and answers as that did; it may look at a clock before and after.
pub type AroundSync = Arc<dyn Fn(&dyn Fn() -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// What handles and jobs share.
struct Core<V: Vfs> {
    vfs: V,
    dir: PathBuf,
    options: WalOptions,
    wal_lane: Lane,
    space_lane: Lane,
    state: Mutex<State<V::File>>,
    around_sync: OnceLock<AroundSync>,
}

impl<V: Vfs> Wal<V> {
    /// Opens the log in a directory, which is there; makes the first segment of a new one. Blocks while all
    /// segments are read. Only one process may have a directory open: [`DataDir`](super::DataDir) sees to it.
    ///
    /// # Errors
    /// [`WalError::Corrupt`], [`WalError::NoSpace`] for a new log, [`WalError::Open`].
    pub fn open(
        vfs: V,
        dir: &Path,
        options: WalOptions,
        executor: &impl Executor,
    ) -> Result<(Self, Recovered), WalError> {
        let segment_bytes = options.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        let segment_bytes = segment_bytes.next_multiple_of(batch::ALIGN_BYTES as u64);
        let options = WalOptions { segment_bytes, ..options };
        let wal_lane = executor.lane("wal").map_err(WalError::open(dir))?;
        let space_lane = executor.lane("wal-space").map_err(WalError::open(dir))?;
        let (state, cut) = recovery::recover(&vfs, dir, &options)?;
        let recovered = Recovered { state: state.log.state(), cut };
        let state = Mutex::new(state);
        let around_sync = OnceLock::new();
        let core = Core { vfs, dir: dir.to_owned(), options, wal_lane, space_lane, state, around_sync };
        let wal = Self { core: Arc::new(core) };
        wal.core.prepare_spare();
        wal.core.remove_given_up();
        Ok((wal, recovered))
    }

    /// Appends entries that continue the log. They can be read at once and are durable when `done` is called
    /// with `Ok`; `done` gets an error only when the log has failed for good.
    ///
    /// # Errors
    /// Nothing was taken and `done` is dropped. [`WalError::NoSpace`] (each try looks for room anew) and
    /// [`WalError::Full`]: try again after [`Wal::when_changed`]. [`WalError::TooLarge`] and
    /// [`WalError::OutOfOrder`]: the caller's mistake. [`WalError::Failed`]: final.
    pub fn append(
        &self,
        entries: Vec<(u64, Bytes)>,
        done: impl FnOnce(Result<(), WalError>) + Send + 'static,
    ) -> Result<(), WalError> {
        let record_bytes = self.check_sizes(&entries)?;
        let admitted = {
            let mut state = self.core.state.lock();
            check_order(&entries, state.log.expected_index())?;
            let admitted = state.admit(record_bytes, self.core.options.segment_bytes);
            if admitted.is_ok() {
                let records =
                    entries.iter().map(|(index, bytes)| Record::Entry { index: *index, bytes: bytes.clone() });
                let ticket = state.queue.push(records.collect(), Some(Box::new(done)));
                for (index, bytes) in entries {
                    state.log.push(index, bytes, ticket, None);
                }
            }
            admitted
        };
        self.core.kick();
        self.core.prepare_spare();
        admitted
    }

    /// Whether an append of `bytes` in one entry would be taken now; looks for room anew when there was none.
    /// A node asks this before it proposes or takes entries from a leader, as a refused append must not
    /// reach consensus.
    ///
    /// # Errors
    /// [`WalError::NoSpace`], [`WalError::Full`], [`WalError::Failed`].
    pub fn check_room(&self, bytes: usize) -> Result<(), WalError> {
        let admitted = {
            let record_bytes = (bytes + RECORD_HEADER_BYTES) as u64;
            self.core.state.lock().admit(record_bytes, self.core.options.segment_bytes)
        };
        self.core.prepare_spare();
        admitted
    }

    /// Calls `wake` once, when the log has written something, a search for space has ended, or the log has
    /// failed: when a refused append may be tried again. At most 1,024 may wait; more are called at once.
    pub fn when_changed(&self, wake: impl FnOnce() + Send + 'static) {
        {
            let mut state = self.core.state.lock();
            if state.failed.is_none() && state.waiters.len() < MAX_WAITERS {
                state.waiters.push(Box::new(wake));
                return;
            }
        }
        wake();
    }

    /// Saves the vote. `done` gets an error only when the log has failed for good, or for a vote larger than
    /// a 32nd of a segment.
    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        self.control(Record::Vote(vote.clone()), Box::new(done), |state| state.log.set_vote(vote));
    }

    /// Saves the committed id with the next batch; causes no sync of its own. One larger than a 32nd of a
    /// segment is not saved.
    pub fn save_committed(&self, committed: Bytes) {
        let record = Record::Committed(committed.clone());
        if self.check_control(&record).is_err() {
            tracing::error!(bytes = committed.len(), "a committed id is too large to be saved");
            return;
        }
        let mut state = self.core.state.lock();
        if state.failed.is_none() {
            state.log.set_committed(committed);
            state.queue.push_committed(record);
        }
    }

    /// Drops the entries after `last_kept`; `None` drops all that are not purged. `done` as for
    /// [`Wal::save_vote`].
    pub fn truncate_after(&self, last_kept: Option<u64>, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        self.control(Record::TruncateAfter(last_kept), Box::new(done), |state| state.log.truncate_after(last_kept));
    }

    /// Drops the entries up to `index`, which may be beyond the last one (a snapshot was installed); `id` is
    /// given back by [`Wal::state`]. After `done`, segments that hold only purged entries are removed. A
    /// purge below an earlier one does nothing. `done` as for [`Wal::save_vote`].
    pub fn purge(&self, index: u64, id: Bytes, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        let record = Record::Purged { index, id: id.clone() };
        self.control(record, Box::new(done), |state| state.log.purge(index, id));
    }

    /// The entries of `range` that the log holds, from the first on, up to `max_bytes` of payload but at
    /// least one if there is one. Blocks on a file when they are not cached.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` when a record is damaged, with the file's name.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        self.core.read(&range, max_bytes)
    }

    /// As [`Wal::read`], from memory only; `None` when the first entry is not cached. The answer ends before
    /// the first entry that is not.
    #[must_use]
    pub fn read_cached(&self, range: Range<u64>, max_bytes: usize) -> Option<Vec<(u64, Bytes)>> {
        self.core.read_cached(&range, max_bytes)
    }

    /// Has the sync of every batch from now on made through `around`; only the first call counts.
    pub fn watch_syncs(&self, around: AroundSync) {
        drop(self.core.around_sync.set(around));
    }

    /// What the log holds now.
    #[must_use]
    pub fn state(&self) -> WalState {
        self.core.state.lock().log.state()
    }

    /// A call that is taken whatever waits: few of them ever do, as consensus waits for each.
    fn control(&self, record: Record, done: Done, apply: impl FnOnce(&mut State<V::File>)) {
        let refused = self.check_control(&record).err().or_else(|| {
            let state = self.core.state.lock();
            state.failed.clone().map(WalError::Failed)
        });
        if let Some(error) = refused {
            return done(Err(error));
        }
        {
            let mut state = self.core.state.lock();
            apply(&mut state);
            state.queue.push(VecDeque::from([record]), Some(done));
        }
        self.core.kick();
        self.core.prepare_spare();
    }

    fn check_control(&self, record: &Record) -> Result<(), WalError> {
        let bytes = record.encoded_len() as u64;
        let limit = self.core.options.segment_bytes / 32;
        if bytes > limit { Err(WalError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// The bytes that the entries' records take.
    fn check_sizes(&self, entries: &[(u64, Bytes)]) -> Result<u64, WalError> {
        let segment_bytes = self.core.options.segment_bytes;
        let mut total = 0;
        for (_, payload) in entries {
            let bytes = (payload.len() + RECORD_HEADER_BYTES) as u64;
            if bytes > segment_bytes / 8 {
                return Err(WalError::TooLarge { bytes, limit: segment_bytes / 8 });
            }
            total += bytes;
        }
        if total > segment_bytes / 2 {
            return Err(WalError::TooLarge { bytes: total, limit: segment_bytes / 2 });
        }
        Ok(total)
    }
}

/// Checks that entries continue the log and each other.
fn check_order(entries: &[(u64, Bytes)], expected: Option<u64>) -> Result<(), WalError> {
    let mut expected = expected;
    for (index, _) in entries {
        // The greatest index of all has none after it.
        let next = index.checked_add(1);
        if next.is_none() || expected.is_some_and(|expected| expected != *index) {
            return Err(WalError::OutOfOrder { index: *index, expected: expected.unwrap_or(0) });
        }
        expected = next;
    }
    Ok(())
}

impl<V: Vfs> Clone for Wal<V> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<V: Vfs> std::fmt::Debug for Wal<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal").field("dir", &self.core.dir).finish_non_exhaustive()
    }
}
