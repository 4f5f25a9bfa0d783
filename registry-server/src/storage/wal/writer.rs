//! The way of a batch: taken from the queue, put in a segment, synced, acknowledged.
//!
//! One batch is under way at a time, on the log's own lane. Everything that waits goes into it. Whatever
//! fails in it is final: the log answers that failure for ever after. When the next segment is not there yet,
//! all that does not fit waits for it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::batch::{self, padded_bytes};
use super::done::Done;
use super::job::{Jobs, Wake, answer_all, wake_all};
use super::log::{Head, Log};
use super::queue::{MAX_BATCH_BYTES, Queue, Taken};
use super::record::Record;
use super::room::Reserved;
use super::search::Search;
use super::segment::{FIRST_BATCH_OFFSET, Segment};
use super::space::{GivenUp, Spare};
use super::{Core, WalError};
use crate::storage::vfs::{Vfs, VfsFile};
use crate::types::planted::{Bug, planted};

/// Everything the log knows, behind one lock that is never held during I/O.
pub(super) struct State<F> {
    pub(super) log: Log,
    pub(super) queue: Queue,
    pub(super) position: Position<F>,
    pub(super) spare: Spare<F>,
    pub(super) search: Search,
    pub(super) reserved: Reserved,
    pub(super) given_up: GivenUp,
    pub(super) jobs: Jobs,
    /// The last operation that is on the disk.
    pub(super) durable_ticket: u64,
    /// A flush job is submitted or running.
    pub(super) flushing: bool,
    pub(super) failed: Option<Arc<io::Error>>,
    /// Called once at the next change of what the log can take.
    pub(super) waiters: Vec<Wake>,
}

/// Where the next batch goes.
pub(super) struct Position<F> {
    /// The segments there are, oldest first and without gaps; the last is written to.
    pub(super) segments: VecDeque<UsedSegment<F>>,
    /// Where the next batch begins in the last segment.
    pub(super) offset: u64,
    /// The next batch's number.
    pub(super) sequence: u64,
    /// What a segment that begins now begins with.
    pub(super) head: Head,
}

/// A segment, and the greatest index of an entry that was ever put in it.
pub(super) struct UsedSegment<F> {
    pub(super) segment: Arc<Segment<F>>,
    pub(super) max_index: Option<u64>,
}

/// A batch that is placed and not yet written.
struct Batch<F> {
    segment: Arc<Segment<F>>,
    offset: u64,
    sequence: u64,
    /// The head of a segment that begins with this batch.
    head: Vec<Record>,
    taken: Taken,
}

impl<F> Position<F> {
    pub(super) fn current(&self) -> &Arc<Segment<F>> {
        &self.segments.back().expect("a log has at least one segment").segment
    }

    /// What is left in the current segment, in bytes.
    pub(super) fn room_bytes(&self) -> u64 {
        self.current().capacity.saturating_sub(self.offset)
    }

    fn head_records(&self) -> Vec<Record> {
        if self.offset == FIRST_BATCH_OFFSET { self.head.records() } else { Vec::new() }
    }

    /// The segment of a number.
    pub(super) fn segment(&self, number: u32) -> Option<&Arc<Segment<F>>> {
        let first = self.segments.front()?.segment.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.segments.get(at).map(|used| &used.segment)
    }

    /// Gives up the oldest segments whose entries are all purged; answers their numbers, oldest first.
    fn give_up_purged(&mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let Some(purged) = self.head.purged_index() else { return numbers };
        while self.segments.len() > 1 {
            match self.segments.front() {
                Some(oldest) if oldest.max_index.is_none_or(|max| max <= purged) => {
                    numbers.push(oldest.segment.number);
                    self.segments.pop_front();
                }
                _ => break,
            }
        }
        numbers
    }
}

impl<F> State<F> {
    /// What recovery found.
    pub(super) fn new(log: Log, position: Position<F>, spare: Spare<F>) -> Self {
        Self {
            log,
            queue: Queue::default(),
            position,
            spare,
            search: Search::default(),
            reserved: Reserved::default(),
            given_up: GivenUp::default(),
            jobs: Jobs::default(),
            durable_ticket: 0,
            flushing: false,
            failed: None,
            waiters: Vec::new(),
        }
    }

    /// Takes everything that waits and fits, and gives each record its place. `None`: nothing waits, or the
    /// next segment is not ready (its coming starts another flush).
    fn take_batch(&mut self) -> Option<Batch<F>> {
        let next_bytes = self.queue.next_record_bytes()?;
        if padded_bytes(records_bytes(&self.position.head_records()) + next_bytes) > self.position.room_bytes() {
            let segment = self.spare.take()?;
            self.position.segments.push_back(UsedSegment { segment: Arc::new(segment), max_index: None });
            self.position.offset = FIRST_BATCH_OFFSET;
        }
        let head = self.position.head_records();
        let head_bytes = records_bytes(&head);
        let limit_bytes = self.position.room_bytes().min(MAX_BATCH_BYTES);
        let taken = self.queue.take(head_bytes, limit_bytes);
        let batch = Batch {
            segment: self.position.current().clone(),
            offset: self.position.offset,
            sequence: self.position.sequence,
            head,
            taken,
        };
        self.place(&batch, head_bytes);
        self.position.offset += padded_bytes(head_bytes + batch.taken.record_bytes);
        self.position.sequence += 1;
        Some(batch)
    }

    fn place(&mut self, batch: &Batch<F>, head_bytes: u64) {
        let mut offset = batch.offset + batch::BATCH_HEADER_BYTES as u64 + head_bytes;
        let used = self.position.segments.back_mut().expect("a log has at least one segment");
        for record in &batch.taken.records {
            self.position.head.note(record);
            if let Record::Entry { index, .. } = record {
                used.max_index = used.max_index.max(Some(*index));
                let offset = u32::try_from(offset).expect("a segment is at most 1 GiB");
                self.log.place(*index, batch.segment.number, offset);
            }
            offset += record.encoded_len() as u64;
        }
    }
}

impl<V: Vfs> Core<V> {
    /// Starts a flush when something waits for one and none is under way.
    pub(super) fn kick(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.flushing || state.refusal().is_some() || !state.queue.wants_write() {
                return;
            }
            state.flushing = true;
        }
        self.submit_flush();
    }

    fn submit_flush(self: &Arc<Self>) {
        self.submit(&self.wal_lane, Self::flush);
    }

    /// One batch: taken, written, synced, then shown as durable, then acknowledged.
    fn flush(self: &Arc<Self>) {
        let batch = {
            let mut state = self.state.lock();
            let batch = if state.refusal().is_some() { None } else { state.take_batch() };
            state.flushing = batch.is_some();
            batch
        };
        self.prepare_spare(false);
        let Some(batch) = batch else { return };
        if planted(Bug::WalAnswersBeforeSync) {
            let segment = batch.segment.clone();
            self.submit(&self.wal_lane, move |_| drop(segment.file.sync_data()));
        }
        match self.write(&batch) {
            Ok(()) => self.acknowledge(batch.taken),
            Err(error) => self.fail(error, batch.taken.dones),
        }
    }

    fn write(&self, batch: &Batch<V::File>) -> io::Result<()> {
        let records = batch.head.iter().chain(&batch.taken.records);
        let bytes = batch::encode(batch.segment.number, batch.segment.salt, batch.sequence, records);
        batch.segment.file.write_all_at(&bytes, batch.offset)?;
        if self.options.unsafe_no_fsync || planted(Bug::WalSkipsSync) || planted(Bug::WalAnswersBeforeSync) {
            return Ok(());
        }
        let sync = || match batch.segment.file.sync_data() {
            Err(_) if planted(Bug::WalIgnoresFailedSync) => Ok(()),
            synced => synced,
        };
        match self.around_sync.get() {
            Some(around) => around(&sync),
            None => sync(),
        }
    }

    fn acknowledge(self: &Arc<Self>, taken: Taken) {
        let (waiters, more) = {
            let mut state = self.state.lock();
            state.durable_ticket = taken.ticket.unwrap_or(state.durable_ticket);
            let durable_ticket = state.durable_ticket;
            state.log.evict(self.options.cache_bytes, durable_ticket);
            state.queue.release(taken.record_bytes);
            // The current segment's head is durable with this batch, so older segments are not needed for it.
            let given_up = state.position.give_up_purged();
            state.given_up.numbers.extend(given_up);
            let more = state.queue.wants_write() && state.refusal().is_none();
            state.flushing = more;
            (std::mem::take(&mut state.waiters), more)
        };
        for done in taken.dones {
            done.answer(Ok(()));
        }
        wake_all(waiters);
        self.remove_given_up();
        if more {
            self.submit_flush();
        }
    }

    /// Closes the log for good and tells everyone who waits, in order.
    pub(super) fn fail(&self, error: io::Error, under_way: impl IntoIterator<Item = Done>) {
        tracing::error!(%error, dir = %self.dir.display(), "the write-ahead log failed and is closed for good");
        let (waiting, error, waiters) = {
            let mut state = self.state.lock();
            let error = state.failed.get_or_insert_with(|| Arc::new(error)).clone();
            (state.queue.drain(), WalError::Failed(error), std::mem::take(&mut state.waiters))
        };
        answer_all(under_way.into_iter().chain(waiting), &error);
        wake_all(waiters);
    }
}

fn records_bytes(records: &[Record]) -> u64 {
    records.iter().map(|record| record.encoded_len() as u64).sum()
}
