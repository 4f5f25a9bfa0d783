//! The hash by which members find out whether they hold the same.
//!
//! CRC-32C over every record that compaction leaves up to a revision, key by key, oldest first. What the
//! sweep has yet to take out and deletions that were compacted do not count, nor where records lie.

use super::history::KeyHistory;
use super::pins::Pin;
use super::{MvccError, Store};
use crate::types::Revision;

/// How far a hash that is taken in slices has come. It pins what it has yet to read.
#[derive(Debug)]
pub struct HashCursor {
    at: Revision,
    compacted: Revision,
    crc: u32,
    after: Option<Box<[u8]>>,
    _pin: Pin,
}

impl Store {
    /// The hash of everything up to `at`, 0 for the newest revision, with the compacted revision that it
    /// counts from. Two hashes can be compared if both revisions are equal.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] and [`MvccError::FutureRevision`].
    pub fn hash_kv(&self, at: Revision) -> Result<(u32, Revision), MvccError> {
        let mut cursor = self.hash_cursor(at)?;
        let hash = self.hash_slice(&mut cursor, usize::MAX);
        Ok(hash.expect("no slice is larger than all keys"))
    }

    /// Begins a hash that is taken in slices, so that the owner's lock can be let go in between.
    ///
    /// # Errors
    /// As [`Self::hash_kv`].
    pub fn hash_cursor(&self, at: Revision) -> Result<HashCursor, MvccError> {
        let at = self.readable(at, self.revision)?;
        let pin = self.pins.pin(self.compacted);
        Ok(HashCursor { at, compacted: self.compacted, crc: 0, after: None, _pin: pin })
    }

    /// Hashes `max_keys` more keys; the hash and its compacted revision once all are done.
    pub fn hash_slice(&self, cursor: &mut HashCursor, max_keys: usize) -> Option<(u32, Revision)> {
        let after = cursor.after.take();
        let start = after.as_deref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let keys = self.index.range::<[u8], _>((start, std::ops::Bound::Unbounded));
        for (hashed, (key, history)) in keys.enumerate() {
            self.hash_key(cursor, history);
            if hashed + 1 >= max_keys {
                cursor.after = Some(key.clone());
                return None;
            }
        }
        Some((cursor.crc, cursor.compacted))
    }

    fn hash_key(&self, cursor: &mut HashCursor, history: &KeyHistory) {
        let upto = history.changes().take_while(|change| change.revision <= cursor.at);
        for change in upto.filter(|change| history.keeps(*change, cursor.compacted)) {
            if change.revision > cursor.compacted || !change.is_tombstone() {
                cursor.crc = crc32c::crc32c_append(cursor.crc, self.chunks.framed(change.address));
            }
        }
    }
}
