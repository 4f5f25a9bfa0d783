//! The store as blocks of records, for a snapshot.
//!
//! A snapshot holds what compaction leaves of history up to its revision, in the order of revisions, and
//! nothing else: were a record that the sweep has taken out still in it, the deletion that followed might
//! be missing and the key would be back. The bytes depend on neither sweep nor chunks; only where one block
//! ends and the next begins does.

use super::Store;
use super::budget::Budget;
use super::chunks::Place;
use super::history::Change;
use super::pins::Pin;
use super::record::{Record, split_framed};
use crate::types::Revision;

/// How far a snapshot has come. It pins what it has yet to read.
#[derive(Debug)]
pub struct SnapshotCursor {
    revision: Revision,
    compacted: Revision,
    /// The chunk that is read next. Always a whole one: in between the sweep may write it anew, and then
    /// offsets mean nothing.
    chunk: u32,
    pin: Pin,
}

impl SnapshotCursor {
    /// The revision of the snapshot.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The compacted revision of the snapshot.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Goes back to the beginning: the same records come once more.
    pub fn rewind(&mut self) {
        self.chunk = 0;
    }
}

/// The records of a block that a snapshot gave, each with its encoded `KeyValue`.
pub fn snapshot_records(block: &[u8]) -> impl Iterator<Item = (Record<'_>, &[u8])> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (body, len) = split_framed(rest).expect("a block holds whole records only");
        rest = &rest[len..];
        Some((Record::parse(body).expect("a block holds well-formed records only"), body))
    })
}

impl Store {
    /// Whether a snapshot was begun in this store, and not in one that was replaced by a restored one since. What it
    /// would read here is not what it began with.
    #[must_use]
    pub fn has_begun(&self, snapshot: &SnapshotCursor) -> bool {
        snapshot.pin.is_of(&self.pins)
    }

    /// Begins a snapshot of the store as it is now.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotCursor {
        let pin = self.pins.pin(self.compacted);
        SnapshotCursor { revision: self.revision, compacted: self.compacted, chunk: 0, pin }
    }

    /// The next block of records; none at the end. One call looks at one chunk (256 KiB), or at several small
    /// ones. So a block is empty, and more may follow, where all of that is garbage.
    pub fn snapshot_block(&self, cursor: &mut SnapshotCursor) -> Option<Vec<u8>> {
        self.snapshot_slice(cursor, Budget::CHUNK)
    }

    pub(super) fn snapshot_slice(&self, cursor: &mut SnapshotCursor, mut budget: Budget) -> Option<Vec<u8>> {
        let mut block = None;
        while let Some((number, _)) = self.chunks.held_from(cursor.chunk) {
            self.snapshot_chunk(cursor, number, &mut budget, block.get_or_insert_default());
            if budget.is_spent() {
                break;
            }
        }
        block
    }

    fn snapshot_chunk(&self, cursor: &mut SnapshotCursor, number: u32, budget: &mut Budget, block: &mut Vec<u8>) {
        cursor.chunk = number + 1;
        // Swept up to the snapshot's compaction, the index refers to nothing that does not belong in it.
        let is_swept = self.swept >= cursor.compacted;
        if let Some(bytes) = self.chunks.whole(number, cursor.revision).filter(|_| is_swept) {
            block.extend_from_slice(bytes);
            budget.spend(bytes.len());
            return;
        }
        let records = self.chunks.records_from(Place::of_chunk(number));
        let records = records.take_while(|(address, _)| address.chunk() == number);
        for (address, record) in records {
            if record.mod_revision > cursor.revision {
                // All that follows was written after the snapshot began.
                cursor.chunk = u32::MAX;
                return;
            }
            budget.spend(record.framed_len());
            let change = Change { revision: record.mod_revision, address };
            let history = self.index.get(record.key).filter(|history| history.refers_to(change));
            if history.is_some_and(|history| history.keeps(change, cursor.compacted)) {
                record.append_framed(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::{HashCursor, MvccError, RangeCursor, RangeQuery};
    use crate::types::LeaseId;

    fn put(store: &mut Store, key: u32, value: &[u8]) {
        let mut txn = store.write();
        txn.put(format!("key-{key:03}").as_bytes(), value, LeaseId(0));
        txn.end();
    }

    #[test]
    fn a_snapshot_of_several_blocks_is_the_store_as_it_was_when_it_began() {
        let mut store = Store::new();
        let value = vec![b'v'; 100_000];
        (0..35).for_each(|key| put(&mut store, key, &value));
        let expected = store.hash_kv(Revision(0)).unwrap();
        let mut cursor = store.snapshot();
        let mut restore = Store::restore();
        let mut blocks = 0;
        while let Some(block) = store.snapshot_block(&mut cursor) {
            assert!(block.len() < (1 << 20) + 300_000);
            restore.block(block.into()).unwrap();
            blocks += 1;
            // The store goes on meanwhile, and throws away all that it may.
            (0..35).for_each(|key| put(&mut store, key, b"newer"));
            store.compact(store.revision()).unwrap();
            while !store.compact_step(100) {}
        }
        assert!(blocks >= 3);
        let restored = restore.finish(cursor.revision(), cursor.compacted()).unwrap();
        assert_eq!(restored.hash_kv(Revision(0)).unwrap(), expected);
        let all = RangeQuery::range("\0", "\0");
        assert_eq!(restored.range(&all).unwrap().len, 35);
    }

    #[test]
    fn a_snapshot_that_goes_back_gives_the_same_records_however_they_were_moved() {
        let mut store = Store::new();
        let value = vec![b'v'; 50_000];
        (0..40).for_each(|key| put(&mut store, key % 20, &value));
        store.compact(Revision(30)).unwrap();
        let mut cursor = store.snapshot();
        let records = |store: &Store, cursor: &mut SnapshotCursor| {
            let blocks: Vec<_> = std::iter::from_fn(|| store.snapshot_block(cursor)).collect();
            let of_block = |block: &Vec<u8>| -> Vec<_> {
                let kept = |(record, body): (Record<'_>, &[u8])| (record.mod_revision, body.to_vec());
                snapshot_records(block).map(kept).collect()
            };
            blocks.iter().flat_map(of_block).collect::<Vec<_>>()
        };
        let first = records(&store, &mut cursor);
        assert_eq!(first.len(), 20 + 11, "what is newest at the compaction, and what came from then on");
        (0..40).for_each(|key| put(&mut store, key, b"newer"));
        store.compact(store.revision()).unwrap();
        while !store.compact_step(100) {}
        cursor.rewind();
        assert!(store.has_begun(&cursor));
        assert_eq!(records(&store, &mut cursor), first);
    }

    #[test]
    fn a_snapshot_was_not_begun_in_the_store_that_was_restored_meanwhile() {
        let mut store = Store::new();
        put(&mut store, 1, b"value");
        let cursor = store.snapshot();
        let other = restored(&store);
        assert!(store.has_begun(&cursor) && !other.has_begun(&cursor));
    }

    /// A store with the same keys and history, as a snapshot of it gives.
    fn restored(store: &Store) -> Store {
        let (mut cursor, mut restore) = (store.snapshot(), Store::restore());
        while let Some(block) = store.snapshot_block(&mut cursor) {
            restore.block(block.into()).unwrap();
        }
        restore.finish(cursor.revision(), cursor.compacted()).unwrap()
    }

    /// A store of ten keys at revision 11, with a range and a hash of it under way.
    fn half_read() -> (Store, RangeCursor, HashCursor) {
        let mut store = Store::new();
        (0..10).for_each(|key| put(&mut store, key, b"old"));
        let mut range = store.range_cursor(RangeQuery::range("\0", "\0")).unwrap();
        assert_eq!(store.range_slice(&mut range, 4, usize::MAX).unwrap().len, 4);
        let mut hash = store.hash_cursor(Revision(0)).unwrap();
        assert_eq!(store.hash_slice(&mut hash, 4), Ok(None));
        (store, range, hash)
    }

    #[test]
    fn what_is_half_read_goes_on_in_a_store_that_was_restored_meanwhile() {
        let (mut store, mut range, mut hash) = half_read();
        let expected = store.hash_kv(Revision(0)).unwrap();
        (0..10).for_each(|key| put(&mut store, key, b"newer"));
        let mut store = restored(&store);
        assert_eq!(store.hash_slice(&mut hash, 1), Ok(None));
        assert_eq!(store.range_slice(&mut range, 2, usize::MAX).unwrap().len, 2);
        // What is still to be read is held from there on.
        store.compact(store.revision()).unwrap();
        while !store.compact_step(100) {}
        assert_eq!(store.hash_slice(&mut hash, usize::MAX), Ok(Some(expected)));
        let rest = store.range_slice(&mut range, usize::MAX, usize::MAX).unwrap();
        assert_eq!((rest.len, rest.count, rest.done), (4, 10, true));
    }

    #[test]
    fn what_is_half_read_ends_where_a_restored_store_has_not_got_it_any_more() {
        let (mut store, mut range, mut hash) = half_read();
        (0..10).for_each(|key| put(&mut store, key, b"newer"));
        store.compact(store.revision()).unwrap();
        let store = restored(&store);
        assert_eq!(store.range_slice(&mut range, 4, usize::MAX), Err(MvccError::Compacted));
        assert_eq!(store.hash_slice(&mut hash, 4), Err(MvccError::Compacted));
    }

    #[test]
    fn a_block_over_garbage_ends_before_it_has_found_anything() {
        let mut store = Store::new();
        let value = vec![b'v'; 10_000];
        (0..1000).for_each(|_| put(&mut store, 1, &value));
        store.compact(store.revision()).unwrap();
        let mut cursor = store.snapshot();
        let blocks: Vec<_> = std::iter::from_fn(|| store.snapshot_block(&mut cursor)).collect();
        assert!(blocks.len() >= 8, "10 MB were walked in {} slices", blocks.len());
        let (last, garbage) = blocks.split_last().unwrap();
        assert!(garbage.iter().all(Vec::is_empty) && last.len() > 10_000);
        assert_eq!(store.snapshot_block(&mut cursor), None);
    }

    #[test]
    fn small_records_end_a_block_before_its_bytes_do() {
        let mut store = Store::new();
        let mut txn = store.write();
        for key in 0..100_000_u32 {
            txn.put(&key.to_be_bytes(), b"", LeaseId(0));
        }
        txn.end();
        let mut cursor = store.snapshot();
        let blocks: Vec<_> = std::iter::from_fn(|| store.snapshot_block(&mut cursor)).collect();
        assert!(blocks.iter().all(|block| block.len() < 768 << 10), "a block is 16,384 records and a chunk's rest");
    }

    #[test]
    fn a_deleted_key_does_not_come_back_from_a_snapshot() {
        let mut store = Store::new();
        put(&mut store, 1, b"value");
        let mut txn = store.write();
        txn.delete_range(b"key-001", b"");
        txn.end();
        put(&mut store, 2, b"value");
        store.compact(Revision(4)).unwrap();
        store.compact_step(1);
        let mut cursor = store.snapshot();
        let mut restore = Store::restore();
        restore.block(store.snapshot_block(&mut cursor).unwrap().into()).unwrap();
        let restored = restore.finish(cursor.revision(), cursor.compacted()).unwrap();
        assert_eq!((restored.get(b"key-001"), restored.keys()), (None, 1));
    }
}
