//! The hash by which members find out whether they hold the same.
//!
//! CRC-32C over every record that compaction leaves up to a revision, key by key, oldest first. What the
//! sweep has yet to take out and deletions that were compacted do not count, nor where records lie.

use std::ops::Bound;

use super::budget::Budget;
use super::history::{Change, KeyHistory};
use super::pins::Pin;
use super::{MvccError, Store};
use crate::types::Revision;

/// How far a hash that is taken in slices has come. It pins what it has yet to read.
#[derive(Debug)]
pub struct HashCursor {
    at: Revision,
    compacted: Revision,
    crc: u32,
    /// The key and the change of it that are looked at next; none at the beginning.
    next: Option<(Box<[u8]>, Revision)>,
    pin: Pin,
}

impl Store {
    /// The hash of everything up to `at`, 0 for the newest revision, with the compacted revision that it
    /// counts from. Two hashes can be compared if both revisions are equal.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] and [`MvccError::FutureRevision`].
    pub fn hash_kv(&self, at: Revision) -> Result<(u32, Revision), MvccError> {
        let mut cursor = self.hash_cursor(at)?;
        loop {
            if let Some(hash) = self.hash_slice(&mut cursor, usize::MAX)? {
                return Ok(hash);
            }
        }
    }

    /// Begins a hash that is taken in slices, so that the owner's lock can be let go in between.
    ///
    /// # Errors
    /// As [`Self::hash_kv`].
    pub fn hash_cursor(&self, at: Revision) -> Result<HashCursor, MvccError> {
        let at = self.readable(at, self.revision)?;
        let pin = self.pins.pin(self.compacted);
        Ok(HashCursor { at, compacted: self.compacted, crc: 0, next: None, pin })
    }

    /// Looks at `max_changes` more changes or about 1 MiB of them, whichever comes first; the hash and its
    /// compacted revision once all are done.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if the store was restored from a snapshot meanwhile that counts from a later compaction.
    pub fn hash_slice(
        &self,
        cursor: &mut HashCursor,
        max_changes: usize,
    ) -> Result<Option<(u32, Revision)>, MvccError> {
        if !cursor.pin.is_of(&self.pins) {
            if self.compacted != cursor.compacted {
                return Err(MvccError::Compacted);
            }
            cursor.pin = self.pins.pin(self.compacted);
        }
        let mut budget = Budget { records: max_changes.max(1), ..Budget::SLICE };
        let next = cursor.next.take();
        let start = next.as_ref().map_or(Bound::Unbounded, |(key, _)| Bound::Included(key.as_ref()));
        for (key, history) in self.index.range((start, Bound::Unbounded)) {
            let resumed = next.as_ref().filter(|(next, _)| next.as_ref() == key);
            let from = resumed.map_or(Revision(0), |(_, revision)| *revision);
            for change in history.changes_from(from) {
                if budget.is_spent() {
                    cursor.next = Some((key.into(), change.revision));
                    return Ok(None);
                }
                // One that is too new costs as much, and every key has one change at least: so keys that are
                // all newer than the hash end a slice too.
                let hashed = self.hash_change(cursor, history, change);
                budget.spend(hashed);
                if change.revision > cursor.at {
                    break;
                }
            }
        }
        Ok(Some((cursor.crc, cursor.compacted)))
    }

    /// Hashes a change if it counts, and says how many bytes that was.
    fn hash_change(&self, cursor: &mut HashCursor, history: &KeyHistory, change: Change) -> usize {
        let counts = change.revision > cursor.compacted || !change.is_tombstone();
        if !counts || change.revision > cursor.at || !history.keeps(change, cursor.compacted) {
            return 0;
        }
        let record = self.chunks.framed(change.address);
        cursor.crc = crc32c::crc32c_append(cursor.crc, record);
        record.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaseId;

    fn put(store: &mut Store, key: &str, value: &[u8]) {
        let mut txn = store.write();
        txn.put(key.as_bytes(), value, LeaseId(0));
        txn.end();
    }

    fn slices(store: &Store, cursor: &mut HashCursor, max_changes: usize) -> usize {
        1 + std::iter::from_fn(|| store.hash_slice(cursor, max_changes).unwrap().is_none().then_some(())).count()
    }

    #[test]
    fn a_key_with_a_long_history_is_hashed_in_slices() {
        let mut store = Store::new();
        (0..100).for_each(|_| put(&mut store, "a", b""));
        let mut cursor = store.hash_cursor(Revision(0)).unwrap();
        assert_eq!(slices(&store, &mut cursor, 10), 10);
        assert_eq!(Some(cursor.crc), store.hash_kv(Revision(0)).ok().map(|(hash, _)| hash));
    }

    #[test]
    fn keys_that_are_newer_than_the_hash_end_a_slice() {
        let mut store = Store::new();
        (0..100).for_each(|key| put(&mut store, &format!("{key:03}"), b""));
        let mut cursor = store.hash_cursor(Revision(2)).unwrap();
        assert_eq!(slices(&store, &mut cursor, 10), 10);
    }

    #[test]
    fn large_values_end_a_slice() {
        let mut store = Store::new();
        (0..8).for_each(|key| put(&mut store, &key.to_string(), &vec![b'v'; 1 << 20]));
        let mut cursor = store.hash_cursor(Revision(0)).unwrap();
        assert_eq!(slices(&store, &mut cursor, usize::MAX), 8);
    }
}
