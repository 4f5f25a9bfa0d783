//! The write-ahead log: entries with consecutive indices, the vote, the committed id and the purged id.
//!
//! ```text
//! reserve ─► append, save_vote, truncate_after, purge ─► log (what readers see) ─► queue ─► writer ─► segment ─► done
//!   room                                             reads ◄─ cache ◄─────────────── space makes one ahead
//! ```
//!
//! Each call takes effect for readers at once, waits in one ordered queue, and is answered when it is on the
//! disk. The unit of writing is the sync batch (`batch`): all that waits, one write, one sync, on the log's
//! own lane. Segments (`segment`) are preallocated; a new one begins with the vote, the committed id and the
//! purged id, so that old ones can go. `recovery` reads it all back.
//!
//! What always holds: operations become durable and are acknowledged in the order of the calls; at most one
//! batch is unsynced; after a failed write or sync nothing is ever written again; what may be refused for want
//! of room is a reservation, never an operation: those wait.

mod batch;
mod directory;
mod done;
mod error;
mod job;
mod log;
mod options;
mod queue;
mod read;
mod record;
mod recovery;
mod room;
mod search;
mod segment;
mod space;
mod survey;
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

use self::done::Done;
pub use self::error::WalError;
use self::options::SEGMENT_BYTES;
pub use self::options::WalOptions;
use self::record::RECORD_HEADER_BYTES;
pub use self::record::Record;
pub use self::room::Reservation;
pub use self::survey::{Found, survey};
use self::writer::State;
use super::vfs::Vfs;
use crate::types::{Executor, Lane};

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
        let options = options.within_bounds();
        let wal_lane = executor.lane("wal").map_err(WalError::open(dir))?;
        let space_lane = executor.lane("wal-space").map_err(WalError::open(dir))?;
        let (state, cut) = recovery::recover(&vfs, dir, &options)?;
        let recovered = Recovered { state: state.log.state(), cut };
        let state = Mutex::new(state);
        let around_sync = OnceLock::new();
        let core = Core { vfs, dir: dir.to_owned(), options, wal_lane, space_lane, state, around_sync };
        let wal = Self { core: Arc::new(core) };
        wal.core.prepare_spare(false);
        Ok((wal, recovered))
    }

    /// Appends entries that continue the log. They can be read at once and are durable when `done` is called
    /// with `Ok`; `done` gets an error only when the log has failed for good or was closed. An append is
    /// never refused for want of room: it waits until there is some. So whoever may be refused asks
    /// [`Wal::reserve`] before, which also bounds what waits here.
    ///
    /// # Errors
    /// Nothing was taken and `done` is dropped. [`WalError::TooLarge`] and [`WalError::OutOfOrder`]: the
    /// caller's mistake. [`WalError::Failed`] and [`WalError::Closed`]: final.
    pub fn append(
        &self,
        entries: Vec<(u64, Bytes)>,
        done: impl FnOnce(Result<(), WalError>) + Send + 'static,
    ) -> Result<(), WalError> {
        self.check_sizes(&entries)?;
        {
            let mut state = self.core.state.lock();
            if let Some(error) = state.refusal() {
                return Err(error);
            }
            check_order(&entries, state.log.expected_index())?;
            let records = entries.iter().map(|(index, bytes)| Record::Entry { index: *index, bytes: bytes.clone() });
            let ticket = state.queue.push(records.collect(), Some(Done::new(done)));
            for (index, bytes) in entries {
                state.log.push(index, bytes, ticket, None);
            }
        }
        self.core.kick();
        Ok(())
    }

    /// Saves the vote. `done` gets an error only when the log has failed for good or was closed, or for a vote
    /// larger than a 32nd of a segment.
    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        self.control(Record::Vote(vote.clone()), Done::new(done), |state| state.log.set_vote(vote));
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
        if state.refusal().is_none() {
            state.log.set_committed(committed);
            state.queue.push_committed(record);
        }
    }

    /// Drops the entries after `last_kept`; `None` drops all that are not purged. `done` as for
    /// [`Wal::save_vote`].
    pub fn truncate_after(&self, last_kept: Option<u64>, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        self.control(Record::TruncateAfter(last_kept), Done::new(done), |state| state.log.truncate_after(last_kept));
    }

    /// Drops the entries up to `index`, which may be beyond the last one (a snapshot was installed); `id` is
    /// given back by [`Wal::state`]. After `done`, segments that hold only purged entries are removed. A
    /// purge below an earlier one does nothing. `done` as for [`Wal::save_vote`].
    pub fn purge(&self, index: u64, id: Bytes, done: impl FnOnce(Result<(), WalError>) + Send + 'static) {
        let record = Record::Purged { index, id: id.clone() };
        self.control(record, Done::new(done), |state| state.log.purge(index, id));
    }

    /// The entries of `range` that the log holds, from the first on, up to `max_bytes` of payload but at
    /// least one if there is one. Blocks on a file when they are not cached.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` when a record is damaged, with the file's name;
    /// [`WalError::Closed`] as the source of another error.
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
        let taken = self.check_control(&record).and_then(|()| {
            let mut state = self.core.state.lock();
            if let Some(error) = state.refusal() {
                return Err(error);
            }
            apply(&mut state);
            Ok(state)
        });
        match taken {
            Ok(mut state) => {
                state.queue.push(VecDeque::from([record]), Some(done));
            }
            Err(error) => return done.answer(Err(error)),
        }
        self.core.kick();
    }

    fn check_control(&self, record: &Record) -> Result<(), WalError> {
        check_size(record.encoded_len() as u64, self.core.options.max_control_bytes())
    }

    fn check_sizes(&self, entries: &[(u64, Bytes)]) -> Result<(), WalError> {
        let limit = self.core.options.max_record_bytes();
        entries.iter().try_for_each(|(_, payload)| check_size((payload.len() + RECORD_HEADER_BYTES) as u64, limit))
    }
}

fn check_size(bytes: u64, limit: u64) -> Result<(), WalError> {
    if bytes > limit { Err(WalError::TooLarge { bytes, limit }) } else { Ok(()) }
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
