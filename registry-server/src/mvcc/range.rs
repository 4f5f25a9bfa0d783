//! Ranges: which records an answer holds, and how many keys there are beside them.
//!
//! Without a sort the answer is filled in one pass over the index, stored bytes copied straight into it.
//! A big range is answered in slices: the cursor pins its revision, and between two slices the owner may
//! let go of its lock.

use super::history::Change;
use super::pins::Pin;
use super::query::{RangeAnswer, RangeQuery, SortOrder, SortTarget};
use super::record::Record;
use super::{MvccError, Store};
use crate::types::{LeaseId, Revision};

/// How far a range that is answered in slices has come.
#[derive(Debug)]
pub struct RangeCursor {
    query: RangeQuery,
    progress: Progress,
    _pin: Pin,
}

/// What one pass may take before it stops.
#[derive(Debug, Clone, Copy)]
struct Slice {
    keys: usize,
    bytes: usize,
}

impl Slice {
    const WHOLE: Self = Self { keys: usize::MAX, bytes: usize::MAX };
}

#[derive(Debug)]
struct Progress {
    at: Revision,
    current: Revision,
    /// The last key that was looked at.
    after: Option<Box<[u8]>>,
    taken: i64,
    count: i64,
    more: bool,
    done: bool,
}

impl Store {
    /// Answers a range in one piece.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] and [`MvccError::FutureRevision`].
    pub fn range(&self, query: &RangeQuery) -> Result<RangeAnswer, MvccError> {
        self.range_upto(query, self.revision)
    }

    /// Begins a range that is answered in slices, and pins its revision.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] and [`MvccError::FutureRevision`].
    pub fn range_cursor(&self, query: RangeQuery) -> Result<RangeCursor, MvccError> {
        let pin = self.pin(query.revision)?;
        Ok(RangeCursor { query, progress: Progress::new(pin.revision(), self.revision), _pin: pin })
    }

    /// The next slice of a range: it ends after `max_keys` keys were looked at or `max_bytes` bytes filled
    /// (the record that reaches them is still in it). `count` and `more` are final in the answer that is
    /// `done`; after it come empty ones. A sorted range has one slice, whatever its size.
    #[must_use]
    pub fn range_slice(&self, cursor: &mut RangeCursor, max_keys: usize, max_bytes: usize) -> RangeAnswer {
        self.range_part(&cursor.query, &mut cursor.progress, Slice { keys: max_keys.max(1), bytes: max_bytes })
    }

    /// A range that may see revisions up to `current`.
    pub(super) fn range_upto(&self, query: &RangeQuery, current: Revision) -> Result<RangeAnswer, MvccError> {
        let at = self.readable(query.revision, current)?;
        Ok(self.range_part(query, &mut Progress::new(at, current), Slice::WHOLE))
    }

    fn range_part(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice) -> RangeAnswer {
        let mut kvs = Vec::new();
        let before = progress.taken;
        if query.count_only {
            self.visit(query, progress, slice, |_, _| 0);
        } else if query.is_sorted() {
            self.fill_sorted(query, progress, &mut kvs);
        } else {
            self.fill(query, progress, slice, &mut kvs);
        }
        RangeAnswer {
            kvs: kvs.into(),
            len: usize::try_from(progress.taken - before).expect("no more records than keys"),
            count: progress.count,
            more: progress.more,
            revision: progress.current,
            done: progress.done,
        }
    }

    /// Looks at the keys that are there, in order, until the slice is used up; `take` says how many bytes
    /// it took of it.
    fn visit(
        &self,
        query: &RangeQuery,
        progress: &mut Progress,
        slice: Slice,
        mut take: impl FnMut(&mut Progress, Change) -> usize,
    ) {
        let after = progress.after.take();
        let Some(bounds) = query.bounds_after(after.as_deref()).filter(|_| !progress.done) else {
            progress.done = true;
            return;
        };
        let (mut keys, mut bytes) = (0, 0);
        for (key, history) in self.index.range::<[u8], _>(bounds) {
            if let Some(change) = history.live_at(progress.at) {
                progress.count += 1;
                bytes += take(progress, change);
            }
            keys += 1;
            if keys >= slice.keys || bytes >= slice.bytes {
                progress.after = Some(key.clone());
                return;
            }
        }
        progress.done = true;
    }

    fn fill(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice, kvs: &mut Vec<u8>) {
        let limit = query.take_limit();
        let reads_records = query.has_filters();
        self.visit(query, progress, slice, |progress, change| {
            if progress.taken >= limit && (progress.more || !reads_records) {
                progress.more = true;
                return 0;
            }
            if reads_records && !query.lets_through(&self.chunks.record(change.address)) {
                return 0;
            }
            if progress.taken >= limit {
                progress.more = true;
                return 0;
            }
            progress.taken += 1;
            let before = kvs.len();
            if query.keys_only {
                query.stripped(self.chunks.record(change.address)).append_framed(kvs);
            } else {
                kvs.extend_from_slice(self.chunks.framed(change.address));
            }
            kvs.len() - before
        });
    }

    fn fill_sorted(&self, query: &RangeQuery, progress: &mut Progress, kvs: &mut Vec<u8>) {
        let take_limit = query.take_limit();
        let mut found: Vec<Record<'_>> = Vec::new();
        self.visit(query, progress, Slice::WHOLE, |_, change| {
            if (found.len() as i64) < take_limit {
                let record = self.chunks.record(change.address);
                if query.lets_through(&record) {
                    found.push(record);
                }
            }
            0
        });
        query.sort(&mut found);
        if query.limit > 0 && found.len() as i64 > query.limit {
            progress.more = true;
            found.truncate(usize::try_from(query.limit).expect("less than the records found"));
        }
        progress.taken = found.len() as i64;
        for record in found {
            query.stripped(record).append_framed(kvs);
        }
    }
}

impl Progress {
    fn new(at: Revision, current: Revision) -> Self {
        Self { at, current, after: None, taken: 0, count: 0, more: false, done: false }
    }
}

impl RangeQuery {
    fn lets_through(&self, record: &Record<'_>) -> bool {
        let within =
            |revision: Revision, min: i64, max: i64| (min == 0 || revision.0 >= min) && (max == 0 || revision.0 <= max);
        within(record.mod_revision, self.min_mod_revision, self.max_mod_revision)
            && within(record.create_revision, self.min_create_revision, self.max_create_revision)
    }

    fn stripped<'a>(&self, record: Record<'a>) -> Record<'a> {
        if !self.keys_only {
            return record;
        }
        let lease = if self.sort_target == SortTarget::Value { record.lease } else { LeaseId(0) };
        Record { value: &[], lease, ..record }
    }

    fn sort(&self, records: &mut [Record<'_>]) {
        let descends = self.sort_order == SortOrder::Descend;
        records.sort_by(|left, right| {
            let order = match self.sort_target {
                SortTarget::Key => left.key.cmp(right.key),
                SortTarget::Version => left.version.cmp(&right.version),
                SortTarget::Create => left.create_revision.cmp(&right.create_revision),
                SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
                SortTarget::Value => left.value.cmp(right.value),
            };
            if descends { order.reverse() } else { order }
        });
    }
}
