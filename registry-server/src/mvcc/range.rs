//! Ranges: which records an answer holds, and how many keys there are beside them.
//!
//! Without a sort the answer is filled in one pass over the index, stored bytes copied straight into it.
//! A big range is answered in slices: the cursor pins its revision, and between two slices the owner may
//! let go of its lock. Keys of the newest state are counted by the index, so what a limit skips costs nothing.

use super::history::Change;
use super::pins::Pin;
use super::query::{RangeAnswer, RangeQuery, SortTarget};
use super::record::Record;
use super::rows::Rows;
use super::{MvccError, Store};
use crate::types::{LeaseId, Revision};

/// How far a range that is answered in slices has come.
#[derive(Debug)]
pub struct RangeCursor {
    query: RangeQuery,
    progress: Progress,
    pin: Pin,
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
    /// `count` was known from the start, so keys need not be visited for it.
    is_counted: bool,
    more: bool,
    done: bool,
    /// What a sorted range has found so far.
    rows: Rows,
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
        let progress = self.progress(&query, pin.revision(), self.revision);
        Ok(RangeCursor { query, progress, pin })
    }

    /// The next slice of a range: it ends after `max_keys` keys were looked at or `max_bytes` bytes filled
    /// (the record that reaches them is still in it). `count` and `more` are final in the answer that is
    /// `done`; after it come empty ones. The slices of a sorted range are empty: its records are what
    /// [`RangeCursor::sorted`] gives once all was seen.
    ///
    /// A store that was restored from a snapshot meanwhile has the same keys at the same revision.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if that store has not got the revision any more.
    pub fn range_slice(
        &self,
        cursor: &mut RangeCursor,
        max_keys: usize,
        max_bytes: usize,
    ) -> Result<RangeAnswer, MvccError> {
        if !cursor.pin.is_of(&self.pins) {
            cursor.pin = self.pin(cursor.pin.revision())?;
        }
        let slice = Slice { keys: max_keys.max(1), bytes: max_bytes };
        Ok(self.range_part(&cursor.query, &mut cursor.progress, slice))
    }

    /// A range that may see revisions up to `current`.
    pub(super) fn range_upto(&self, query: &RangeQuery, current: Revision) -> Result<RangeAnswer, MvccError> {
        let at = self.readable(query.revision, current)?;
        let mut progress = self.progress(query, at, current);
        let answer = self.range_part(query, &mut progress, Slice::WHOLE);
        Ok(if query.is_sorted() { progress.sorted(query) } else { answer })
    }

    /// The beginning of a range. The newest state's keys are counted by the index without a visit.
    fn progress(&self, query: &RangeQuery, at: Revision, current: Revision) -> Progress {
        let is_counted = at == current;
        let bounds = query.bounds_after(None).filter(|_| is_counted);
        let count = bounds.map_or(0, |bounds| self.index.count_live(bounds));
        let count = i64::try_from(count).expect("fewer keys than bytes of memory");
        let rows = Rows::default();
        Progress { at, current, after: None, taken: 0, count, is_counted, more: false, done: false, rows }
    }

    fn range_part(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice) -> RangeAnswer {
        let mut kvs = Vec::new();
        let before = progress.taken;
        if query.count_only {
            self.count(query, progress, slice);
        } else if query.is_sorted() {
            self.collect(query, progress, slice);
        } else {
            self.fill(query, progress, slice, &mut kvs);
        }
        progress.answer(kvs, before)
    }

    /// Looks at the keys that are there, in order, until the slice is used up; `take` says how many bytes
    /// it took of it, or that it wants no more.
    fn visit(
        &self,
        query: &RangeQuery,
        progress: &mut Progress,
        slice: Slice,
        mut take: impl FnMut(&mut Progress, Change) -> Option<usize>,
    ) {
        let after = progress.after.take();
        let Some(bounds) = query.bounds_after(after.as_deref()).filter(|_| !progress.done) else {
            progress.done = true;
            return;
        };
        let (mut keys, mut bytes) = (0, 0);
        for (key, history) in self.index.range(bounds) {
            if let Some(change) = history.live_at(progress.at) {
                progress.count += i64::from(!progress.is_counted);
                let Some(taken) = take(progress, change) else { break };
                bytes += taken;
            }
            keys += 1;
            if keys >= slice.keys || bytes >= slice.bytes {
                progress.after = Some(key.into());
                return;
            }
        }
        progress.done = true;
    }

    fn count(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice) {
        if progress.is_counted {
            progress.done = true;
        } else {
            self.visit(query, progress, slice, |_, _| Some(0));
        }
    }

    fn fill(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice, kvs: &mut Vec<u8>) {
        let limit = query.take_limit();
        let has_filters = query.has_filters();
        self.visit(query, progress, slice, |progress, change| {
            let matches = || !has_filters || query.lets_through(&self.chunks.record(change.address));
            if progress.taken >= limit {
                progress.more = progress.more || matches();
                return if progress.more && progress.is_counted { None } else { Some(0) };
            }
            if !matches() {
                return Some(0);
            }
            progress.taken += 1;
            let before = kvs.len();
            if query.keys_only {
                query.stripped(self.chunks.record(change.address)).append_framed(kvs);
            } else {
                kvs.extend_from_slice(self.chunks.framed(change.address));
            }
            Some(kvs.len() - before)
        });
    }

    /// Collects the records of a sorted range.
    fn collect(&self, query: &RangeQuery, progress: &mut Progress, slice: Slice) {
        let take_limit = query.take_limit();
        self.visit(query, progress, slice, |progress, change| {
            if progress.rows.found >= take_limit {
                return if progress.is_counted { None } else { Some(0) };
            }
            let record = self.chunks.record(change.address);
            if !query.lets_through(&record) {
                return Some(0);
            }
            Some(progress.rows.push(query, record))
        });
    }
}

impl RangeCursor {
    /// The answer of a sorted range, once its last slice is `done`. It needs no lock, and the time of sorting all
    /// that was found.
    #[must_use]
    pub fn sorted(&mut self) -> RangeAnswer {
        self.progress.sorted(&self.query)
    }

    /// Whether the answer comes from [`Self::sorted`].
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.query.is_sorted() && !self.query.count_only
    }
}

impl Progress {
    fn answer(&self, kvs: Vec<u8>, taken_before: i64) -> RangeAnswer {
        RangeAnswer {
            kvs: kvs.into(),
            len: usize::try_from(self.taken - taken_before).expect("no more records than keys"),
            count: self.count,
            more: self.more,
            revision: self.current,
            done: self.done,
        }
    }

    fn sorted(&mut self, query: &RangeQuery) -> RangeAnswer {
        let before = self.taken;
        let rows = std::mem::take(&mut self.rows);
        self.more = self.more || query.limit > 0 && rows.found > query.limit;
        let sorted = rows.sorted(query);
        self.taken += i64::try_from(sorted.len()).expect("fewer records than bytes of memory");
        self.answer(sorted.concat(), before)
    }
}

impl RangeQuery {
    fn lets_through(&self, record: &Record<'_>) -> bool {
        let within =
            |revision: Revision, min: i64, max: i64| (min == 0 || revision.0 >= min) && (max == 0 || revision.0 <= max);
        within(record.mod_revision, self.min_mod_revision, self.max_mod_revision)
            && within(record.create_revision, self.min_create_revision, self.max_create_revision)
    }

    pub(super) fn stripped<'a>(&self, record: Record<'a>) -> Record<'a> {
        if !self.keys_only {
            return record;
        }
        let lease = if self.sort_target == SortTarget::Value { record.lease } else { LeaseId(0) };
        Record { value: &[], lease, ..record }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::stored::KeyValues;

    use super::*;
    use crate::mvcc::SortOrder;

    /// Keys a to e, put in the order c a b e d; then b again.
    fn store() -> Store {
        let mut store = Store::new();
        for (key, value) in [("c", "3"), ("a", "5"), ("b", "9"), ("e", "1"), ("d", "2"), ("b", "4")] {
            let mut txn = store.write();
            txn.put(key.as_bytes(), value.as_bytes(), LeaseId(9));
            txn.end();
        }
        store
    }

    fn keys(answer: RangeAnswer) -> String {
        let kvs = KeyValues::Stored(answer.kvs).into_messages().unwrap();
        kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    }

    fn all() -> RangeQuery {
        RangeQuery::range("\0", "\0")
    }

    #[test]
    fn range_end_says_one_key_an_interval_or_all_from_the_key_on() {
        let store = store();
        let answer = |key, end| keys(store.range(&RangeQuery::range(key, end)).unwrap());
        assert_eq!(answer("b", ""), "b");
        assert_eq!(answer("b", "d"), "bc");
        assert_eq!(answer("b", "\0"), "bcde");
        assert_eq!(answer("d", "b"), "");
        assert_eq!(answer("b", "b"), "");
    }

    #[test]
    fn a_limit_leaves_more_but_the_count_is_of_all() {
        let answer = store().range(&RangeQuery { limit: 2, ..all() }).unwrap();
        assert_eq!((answer.len, answer.count, answer.more), (2, 5, true));
        let answer = store().range(&RangeQuery { limit: 5, ..all() }).unwrap();
        assert_eq!((answer.len, answer.count, answer.more), (5, 5, false));
    }

    #[test]
    fn filters_apply_before_the_limit_and_not_to_the_count() {
        let query = RangeQuery { limit: 2, min_mod_revision: 4, ..all() };
        let answer = store().range(&query).unwrap();
        assert_eq!((answer.count, answer.more), (5, true));
        assert_eq!(keys(answer), "bd");
        let answer = store().range(&RangeQuery { max_create_revision: 3, limit: 2, ..all() }).unwrap();
        assert!(!answer.more);
        assert_eq!(keys(answer), "ac");
    }

    #[test]
    fn a_sort_takes_all_keys_but_a_target_without_an_order_those_within_the_limit() {
        let store = store();
        let by_value = |sort_order| {
            let query = RangeQuery { sort_target: SortTarget::Value, sort_order, limit: 2, ..all() };
            keys(store.range(&query).unwrap())
        };
        assert_eq!(by_value(SortOrder::Ascend), "ed");
        assert_eq!(by_value(SortOrder::Descend), "ab");
        assert_eq!(by_value(SortOrder::None), "cb", "of a, b and c");
    }

    #[test]
    fn keys_only_leaves_value_and_lease_out() {
        let answer = store().range(&RangeQuery { keys_only: true, ..RangeQuery::key("b") }).unwrap();
        let kv = KeyValues::Stored(answer.kvs).into_messages().unwrap().remove(0);
        assert_eq!((kv.value.len(), kv.lease, kv.create_revision, kv.mod_revision, kv.version), (0, 0, 4, 7, 2));
    }

    #[test]
    fn a_future_revision_is_refused_and_a_negative_one_is_the_newest() {
        let store = store();
        let at = |revision| store.range(&RangeQuery { revision: Revision(revision), ..all() });
        assert_eq!(at(8), Err(MvccError::FutureRevision));
        assert_eq!(at(-3), at(0));
        assert_eq!(at(3).map(keys), Ok("ac".to_owned()));
    }

    #[test]
    fn slices_together_are_the_range() {
        let mut store = store();
        let mut cursor = store.range_cursor(all()).unwrap();
        let mut found = String::new();
        loop {
            let answer = store.range_slice(&mut cursor, 2, usize::MAX).unwrap();
            let done = answer.done;
            assert!(answer.len <= 2);
            found += &keys(answer);
            if done {
                break;
            }
            let mut txn = store.write();
            txn.delete_range(b"\0", b"\0");
            txn.end();
        }
        assert_eq!(found, "abcde");
        assert_eq!(store.range_slice(&mut cursor, 2, usize::MAX).unwrap().len, 0);
    }

    #[test]
    fn a_sorted_range_is_collected_in_slices_and_sorted_at_the_end() {
        let mut store = store();
        let mut cursor = store.range_cursor(RangeQuery { sort_order: SortOrder::Descend, ..all() }).unwrap();
        let mut slices = 0;
        while !store.range_slice(&mut cursor, 1, 1).unwrap().done {
            slices += 1;
            let mut txn = store.write();
            txn.delete_range(b"\0", b"\0");
            txn.end();
        }
        assert_eq!(slices, 5);
        assert_eq!(keys(cursor.sorted()), "edcba");
        let answer = store.range_slice(&mut cursor, 1, 1).unwrap();
        assert_eq!((answer.len, answer.count, answer.done), (0, 5, true));
    }

    #[test]
    fn what_a_limit_skips_is_counted_but_not_visited() {
        let store = store();
        let mut cursor = store.range_cursor(RangeQuery { limit: 1, ..all() }).unwrap();
        let answer = store.range_slice(&mut cursor, 1, usize::MAX).unwrap();
        assert_eq!((answer.len, answer.count, answer.more, answer.done), (1, 5, false, false));
        let answer = store.range_slice(&mut cursor, 1, usize::MAX).unwrap();
        assert_eq!((answer.len, answer.count, answer.more, answer.done), (0, 5, true, true), "at the key after it");
        let mut count = store.range_cursor(RangeQuery { count_only: true, ..all() }).unwrap();
        let answer = store.range_slice(&mut count, 1, usize::MAX).unwrap();
        assert_eq!((answer.count, answer.done), (5, true));
        let old = RangeQuery { count_only: true, revision: Revision(3), ..all() };
        assert_eq!(store.range(&old).unwrap().count, 2);
    }
}
