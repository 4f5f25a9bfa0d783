//! openraft's log over the WAL of `storage`.
//!
//! The WAL keeps opaque bytes in order: entries, votes, truncations and purges go through its one queue.
//! Reads come from its cache; only an old entry costs a read of a file, on a lane.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeBounds};

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::encoding::{
    entry_from_bytes, entry_to_bytes, log_id_from_bytes, log_id_to_bytes, vote_from_bytes, vote_to_bytes,
};
use super::sole::Memberships;
use super::state_machine::{RestoreError, StateMachine};
use super::types::{RaftEntry, RaftLogId, RaftVote, TypeConfig};
use crate::storage::{Vfs, Wal, WalError};
use crate::types::planted::{Bug, planted};
use crate::types::{Lane, Runtime};

/// What one message to a peer carries at most; openraft counts entries, we count bytes.
const READ_BYTES: usize = 1024 * 1024;

/// The log of a node; clones read and write the same WAL.
pub(super) struct LogStore<S, R, V: Vfs> {
    wal: Wal<V>,
    read_lane: Lane,
    memberships: Memberships,
    types: PhantomData<fn() -> (S, R)>,
}

impl<S, R, V: Vfs> Clone for LogStore<S, R, V> {
    fn clone(&self) -> Self {
        let (wal, read_lane) = (self.wal.clone(), self.read_lane.clone());
        Self { wal, read_lane, memberships: self.memberships.clone(), types: PhantomData }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> LogStore<S, R, V> {
    pub(super) fn new(wal: Wal<V>, read_lane: Lane) -> Self {
        Self { wal, read_lane, memberships: Memberships::default(), types: PhantomData }
    }

    /// What has come into this log of memberships.
    pub(super) fn memberships(&self) -> Memberships {
        self.memberships.clone()
    }

    /// Up to which entry the log knows that all are committed.
    pub(super) fn committed(&self) -> io::Result<Option<RaftLogId>> {
        self.wal.state().committed.map(|bytes| log_id_from_bytes(bytes).map_err(io::Error::other)).transpose()
    }

    /// Begins to read a range's first entries on the lane: a megabyte, and at least one if there is one. `decode`
    /// goes on with each of them there.
    pub(super) fn read_ahead<T: Send + 'static>(
        &self,
        range: Range<u64>,
        decode: impl Fn(RaftEntry) -> Result<T, RestoreError> + Send + 'static,
    ) -> io::Result<Reading<T>> {
        self.read_files(range, READ_BYTES, decode)
    }

    fn read_files<T: Send + 'static>(
        &self,
        range: Range<u64>,
        max_bytes: usize,
        decode: impl Fn(RaftEntry) -> Result<T, RestoreError> + Send + 'static,
    ) -> io::Result<Reading<T>> {
        let (done, entries) = oneshot::channel();
        let wal = self.wal.clone();
        let read = move || decoded(wal.read(range, max_bytes)?, decode);
        self.read_lane.submit(move || drop(done.send(read()))).map_err(io::Error::other)?;
        Ok(Reading(entries))
    }

    async fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<RaftEntry>> {
        match self.wal.read_cached(range.clone(), max_bytes) {
            Some(records) => decoded(records, Ok),
            None => self.read_files(range, max_bytes, Ok)?.entries().await,
        }
    }
}

/// Entries that are being read on the lane.
pub(super) struct Reading<T>(oneshot::Receiver<io::Result<Vec<T>>>);

impl<T> Reading<T> {
    pub(super) async fn entries(self) -> io::Result<Vec<T>> {
        self.0.await.map_err(|_| io::Error::other("the log's read lane stopped"))?
    }
}

fn decoded<T>(records: Vec<(u64, Bytes)>, decode: impl Fn(RaftEntry) -> Result<T, RestoreError>) -> io::Result<Vec<T>> {
    records.into_iter().map(|(_, bytes)| entry_from_bytes(bytes).and_then(&decode).map_err(io::Error::other)).collect()
}

/// Waits for an operation of the WAL's queue to be on disk.
async fn synced(submit: impl FnOnce(Box<dyn FnOnce(Result<(), WalError>) + Send>)) -> io::Result<()> {
    let (done, outcome) = oneshot::channel();
    submit(Box::new(move |result| drop(done.send(result))));
    outcome.await.map_err(|_| io::Error::other("the WAL stopped"))?.map_err(io::Error::other)
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftLogReader<TypeConfig<S, R>> for LogStore<S, R, V> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<RaftEntry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start..end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        self.read(start..end, READ_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        self.wal.state().vote.map(|bytes| vote_from_bytes(bytes).map_err(io::Error::other)).transpose()
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftLogStorage<TypeConfig<S, R>> for LogStore<S, R, V> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig<S, R>>> {
        let state = self.wal.state();
        let last_purged_log_id =
            state.purged.map(|(_, bytes)| log_id_from_bytes(bytes).map_err(io::Error::other)).transpose()?;
        let last_log_id = match state.last_index {
            Some(index) => self.read(index..index + 1, usize::MAX).await?.pop().map(|entry| entry.log_id),
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        if planted(Bug::VoteNotSaved) {
            return Ok(());
        }
        synced(|done| self.wal.save_vote(vote_to_bytes(vote), done)).await
    }

    /// Rides with the next batch, without a sync of its own: it only spares waiting after a restart.
    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> io::Result<()> {
        if let Some(log_id) = committed {
            self.wal.save_committed(log_id_to_bytes(&log_id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<RaftLogId>> {
        self.committed()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig<S, R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let record = |entry: RaftEntry| {
            if entry.payload.membership.is_some() {
                self.memberships.begins(entry.log_id.index);
            }
            (entry.log_id.index, entry_to_bytes(&entry))
        };
        let records = entries.into_iter().map(record).collect();
        self.wal
            .append(records, move |result| callback.io_completed(result.map_err(io::Error::other)))
            .map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> io::Result<()> {
        let last_kept = last_log_id.map(|log_id| log_id.index);
        synced(|done| self.wal.truncate_after(last_kept, done)).await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> io::Result<()> {
        synced(|done| self.wal.purge(log_id.index, log_id_to_bytes(&log_id), done)).await
    }
}
