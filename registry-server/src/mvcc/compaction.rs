//! Compaction: at once for whoever reads, in slices for the memory.
//!
//! The physical side sweeps the records of the revisions that became compacted, takes what they superseded
//! out of the index, then drops or rewrites the chunks that are half garbage. Its cost follows the changes,
//! not the number of keys. It never goes beyond the oldest pin.

use super::chunks::{Address, Chunk, Place};
use super::history::Change;
use super::record::{Record, body_of};
use super::{MvccError, Store};
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// A sweep under way: everything before the position is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    target: Revision,
    /// No chunk is rewritten during a sweep.
    place: Place,
}

/// Copying so many bytes takes about as long as looking at a record.
const COPIED_BYTES: usize = 4 << 10;

impl Store {
    /// Trims history: from now on nothing before `at` can be read or watched. Memory is given back by
    /// [`Self::compact_step`].
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if `at` is compacted already, [`MvccError::FutureRevision`] if it has not
    /// happened yet.
    pub fn compact(&mut self, at: Revision) -> Result<(), MvccError> {
        if at <= self.compacted {
            return Err(MvccError::Compacted);
        }
        if at > self.revision {
            return Err(MvccError::FutureRevision);
        }
        self.compacted = if planted(Bug::CompactsOneTooMany) { at.next() } else { at };
        Ok(())
    }

    /// One slice of the physical work of compaction, about as long as it takes to look `max_keys` keys up;
    /// a chunk is rewritten whole. True when nothing is left to do. What is pinned waits: once the pin is
    /// gone, which [`Self::on_unpin`] tells, the next call goes on. A call with nothing to do costs next to nothing.
    pub fn compact_step(&mut self, max_keys: usize) -> bool {
        let mut budget = max_keys.max(1);
        while budget > 0 {
            if self.sweep.is_none() && !self.begin_sweep() {
                return self.reclaim(budget);
            }
            budget -= self.sweep_some(budget).min(budget);
        }
        false
    }

    fn begin_sweep(&mut self) -> bool {
        let target = self.pins.sweep_target(self.compacted);
        if target <= self.swept {
            return false;
        }
        // A deletion at `swept` itself was kept by the last sweep, so this one looks at it again.
        self.sweep = Some(Sweep { target, place: Place::of_chunk(self.chunks.first_chunk_of(self.swept)) });
        true
    }

    /// Sweeps until `budget` records were looked at or taken out of the index, and says how many it was. One
    /// record of a key with a long history may take thousands out.
    fn sweep_some(&mut self, budget: usize) -> usize {
        let Some(sweep) = self.sweep else { return 0 };
        let upto_target = |(_, record): &(Address, Record<'_>)| record.mod_revision <= sweep.target;
        let records = self.chunks.records_from(sweep.place).take_while(upto_target);
        // One more than is looked at says where the next slice begins.
        let touched: Vec<(Address, Box<[u8]>)> =
            records.take(budget.saturating_add(1)).map(|(address, record)| (address, record.key.into())).collect();
        let mut spent = 0;
        for (address, key) in &touched {
            if spent >= budget {
                self.sweep = Some(Sweep { place: address.place(), ..sweep });
                return spent;
            }
            let upto = if planted(Bug::SweepsOneTooMany) { sweep.target.next() } else { sweep.target };
            spent += 1 + self.trim(key, upto);
        }
        self.sweep = None;
        self.swept = sweep.target;
        spent.max(1)
    }

    /// Gives the memory of sparse chunks back, until `budget` records were looked at. True when none is left.
    fn reclaim(&mut self, mut budget: usize) -> bool {
        while budget > 0 {
            let Some((number, sparse)) = self.chunks.take_sparse() else { return true };
            let mut kept = Box::<Chunk>::default();
            for (offset, framed) in sparse.records().take_while(|_| sparse.is_live()) {
                budget = budget.saturating_sub(1 + framed.len() / COPIED_BYTES);
                let record = Record::parse(body_of(framed)).expect("chunks hold well-formed records only");
                let tombstone = record.is_tombstone();
                let change = Change { revision: record.mod_revision, address: Address::new(number, offset, tombstone) };
                let kept = &mut kept;
                let to = || Address::new(number, kept.keep(framed), tombstone);
                self.index.relocate(record.key, change, to);
            }
            budget = budget.saturating_sub(1);
            self.chunks.put_back(number, kept);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::mvcc::{EventCursor, RangeQuery};
    use crate::types::LeaseId;

    fn put(store: &mut Store, key: &str, value: &str) -> Revision {
        let mut txn = store.write();
        txn.put(key.as_bytes(), value.as_bytes(), LeaseId(0));
        txn.end().revision
    }

    fn delete(store: &mut Store, key: &str) -> Revision {
        let mut txn = store.write();
        txn.delete_range(key.as_bytes(), b"");
        txn.end().revision
    }

    /// Those as well of which only a deletion is left.
    fn keys(store: &Store) -> Vec<&[u8]> {
        store.index.range((Bound::Unbounded, Bound::Unbounded)).map(|(key, _)| key).collect()
    }

    fn sweep_all(store: &mut Store) {
        while !store.compact_step(1) {}
    }

    #[test]
    fn compacting_twice_or_into_the_future_is_refused() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        assert_eq!(store.compact(Revision(3)), Err(MvccError::FutureRevision));
        assert_eq!(store.compact(Revision(2)), Ok(()));
        assert_eq!(store.compact(Revision(2)), Err(MvccError::Compacted));
        assert_eq!(store.compact(Revision(1)), Err(MvccError::Compacted));
    }

    #[test]
    fn a_compacted_revision_is_refused_before_any_memory_is_given_back() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        let at = put(&mut store, "a", "2");
        store.compact(at).unwrap();
        let old = RangeQuery { revision: Revision(2), ..RangeQuery::key("a") };
        assert_eq!(store.range(&old), Err(MvccError::Compacted));
        assert_eq!(store.range(&RangeQuery { revision: at, ..old }).unwrap().count, 1);
    }

    #[test]
    fn a_deletion_at_the_compacted_revision_stays_until_the_next_compaction() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        let deleted = delete(&mut store, "a");
        let later = put(&mut store, "b", "1");
        store.compact(deleted).unwrap();
        sweep_all(&mut store);
        assert_eq!(store.events(&mut EventCursor::new(deleted, true), usize::MAX).unwrap().len(), 2);
        store.compact(later).unwrap();
        sweep_all(&mut store);
        assert_eq!(keys(&store), [b"b"]);
    }

    #[test]
    fn deletions_of_one_revision_in_two_chunks_go_with_the_next_compaction() {
        let mut store = Store::with_chunk_bytes(32);
        for key in ["a", "b", "c", "d"] {
            put(&mut store, key, "");
        }
        let mut txn = store.write();
        txn.delete_range(b"a", b"e");
        let deleted = txn.end().revision;
        let of_revision =
            store.chunks.records_from(Place::of_chunk(0)).filter(|(_, record)| record.mod_revision == deleted);
        let chunks: Vec<u32> = of_revision.map(|(address, _)| address.chunk()).collect();
        assert!(
            chunks[0] < chunks[3] && store.chunks.first_chunk_of(deleted) < store.chunks.first_chunk_of(deleted.next())
        );
        store.compact(deleted).unwrap();
        sweep_all(&mut store);
        assert_eq!(keys(&store).len(), 4);
        let later = put(&mut store, "later", "");
        store.compact(later).unwrap();
        sweep_all(&mut store);
        assert_eq!(keys(&store), [b"later"]);
    }

    #[test]
    fn a_pin_holds_its_revision_and_lets_the_rest_go() {
        let mut store = Store::with_chunk_bytes(32);
        for value in ["1", "2", "3", "4"] {
            put(&mut store, "a", value);
        }
        let mut cursor =
            store.range_cursor(RangeQuery { revision: Revision(3), ..RangeQuery::range("a", "z") }).unwrap();
        store.compact(Revision(5)).unwrap();
        sweep_all(&mut store);
        assert_eq!(store.index.get(b"a").unwrap().changes_from(Revision(0)).count(), 3);
        let answer = store.range_slice(&mut cursor, 10, usize::MAX).unwrap();
        let record = Record::parse(body_of(&answer.kvs)).unwrap();
        assert_eq!((record.mod_revision, record.value), (Revision(3), b"2".as_slice()));
        drop(cursor);
        sweep_all(&mut store);
        assert_eq!(store.index.get(b"a").unwrap().changes_from(Revision(0)).count(), 1);
    }

    #[test]
    fn one_slice_takes_no_more_out_of_a_long_history_than_its_budget_and_one_step() {
        let mut store = Store::new();
        for _ in 0..100_000 {
            put(&mut store, "a", "value");
        }
        store.compact(store.revision()).unwrap();
        let mut left = 100_000;
        while !store.compact_step(500) {
            let changes = store.index.get(b"a").unwrap().changes_from(Revision(0)).count();
            assert!(left - changes <= 500 + 4_096, "{} at once", left - changes);
            left = changes;
        }
        assert_eq!(left, 1);
    }

    #[test]
    fn a_key_with_a_long_history_is_trimmed_to_its_end() {
        let mut store = Store::new();
        for _ in 0..10_000 {
            put(&mut store, "a", "value");
        }
        store.compact(store.revision()).unwrap();
        while !store.compact_step(500) {}
        assert_eq!(store.index.get(b"a").unwrap().changes_from(Revision(0)).count(), 1);
    }
}
