//! Giving back all the memory that garbage takes, not only that of chunks which are mostly garbage.
//!
//! Compaction rewrites a chunk once half of it is garbage, so that each byte is copied a few times at most. Who asks for
//! more gets it through the same slices.

use super::Store;

impl Store {
    /// Has [`Self::compact_step`] rewrite every chunk in which there is garbage, the one that is being filled included.
    /// It takes some microseconds for each gigabyte; the work is in the steps. What history keeps is no garbage: compact
    /// it first.
    pub fn defragment(&mut self) {
        let next = self.revision.next();
        self.chunks.mark_garbage(next);
    }
}

#[cfg(test)]
mod tests {
    use crate::mvcc::Store;
    use crate::types::{LeaseId, Revision};

    fn put(store: &mut Store, key: usize, value: usize) -> Revision {
        let mut txn = store.write();
        txn.put(format!("{key:04}").as_bytes(), &vec![b'v'; value], LeaseId(0));
        txn.end().revision
    }

    fn settle(store: &mut Store) {
        while !store.compact_step(10) {}
    }

    /// A third of each chunk is garbage, which compaction leaves where it is.
    fn fragmented() -> Store {
        let mut store = Store::with_chunk_bytes(1_000);
        for key in 0..300 {
            put(&mut store, key, 50);
        }
        let last = (0..100).map(|key| put(&mut store, key * 3, 50)).last().unwrap();
        store.compact(last).unwrap();
        settle(&mut store);
        store
    }

    #[test]
    fn afterwards_nothing_is_held_that_is_not_live_and_everything_is_still_there() {
        let mut store = fragmented();
        let before = (store.hash_kv(Revision(0)).unwrap(), store.keys());
        assert!(store.size_bytes() > store.live_bytes() + 1_000);
        store.defragment();
        settle(&mut store);
        assert_eq!(store.size_bytes(), store.live_bytes());
        assert_eq!((store.hash_kv(Revision(0)).unwrap(), store.keys()), before);
    }

    #[test]
    fn the_chunk_that_is_being_filled_gives_its_garbage_back_too() {
        let mut store = Store::new();
        let last = (0..100).map(|_| put(&mut store, 1, 50)).last().unwrap();
        store.compact(last).unwrap();
        settle(&mut store);
        assert!(store.size_bytes() > 5_000);
        store.defragment();
        settle(&mut store);
        assert!(store.size_bytes() < 300, "{}", store.size_bytes());
        // Twice in a row, and before the next write.
        store.defragment();
        settle(&mut store);
        assert_eq!(put(&mut store, 2, 5), last.next());
        assert_eq!(store.keys(), 2);
    }

    #[test]
    fn what_comes_later_is_found_and_goes_into_snapshots() {
        let mut store = fragmented();
        store.defragment();
        settle(&mut store);
        let written = put(&mut store, 7, 9);
        store.defragment();
        let (mut cursor, mut restore) = (store.snapshot(), Store::restore());
        while let Some(block) = store.snapshot_block(&mut cursor) {
            restore.block(block.into()).unwrap();
        }
        let restored = restore.finish(store.revision(), store.compacted()).unwrap();
        assert_eq!(restored.get(b"0007").unwrap().mod_revision, written);
        assert_eq!(restored.hash_kv(Revision(0)), store.hash_kv(Revision(0)));
        let events = store.events(&mut crate::mvcc::EventCursor::new(written, false), usize::MAX).unwrap();
        assert_eq!(events.len(), 1);
    }
}
