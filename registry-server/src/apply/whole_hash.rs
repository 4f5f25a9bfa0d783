//! The hash of everything that entries change: keys with their history, leases, members and alarms.
//!
//! Members that have applied the same entries come to the same one.

use super::snapshot::small_blocks;
use super::state::State;
use crate::mvcc::{HashCursor, MvccError};
use crate::types::Revision;

/// A hash under way: all but the keys is hashed when it begins, at one moment, and the keys as of that moment in slices.
#[derive(Debug)]
pub struct WholeHash {
    cursor: HashCursor,
    small: u32,
    revision: Revision,
}

impl WholeHash {
    /// Begins. Writers wait while leases are hashed, some milliseconds for a hundred thousand of them.
    ///
    /// # Errors
    /// None that a store's newest revision could have.
    pub fn begin(state: &State) -> Result<Self, MvccError> {
        let store = state.store.read();
        let cursor = store.hash_cursor(Revision(0))?;
        let blocks = small_blocks(state, store.revision(), store.compacted());
        let small = blocks.iter().fold(0, |hash, block| crc32c::crc32c_append(hash, block));
        Ok(Self { cursor, small, revision: store.revision() })
    }

    /// Of which revision it is.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Looks at some more changes; the hash once all are done.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if the state was replaced by a snapshot meanwhile.
    pub fn slice(&mut self, state: &State, max_changes: usize) -> Result<Option<u32>, MvccError> {
        let hashed = state.store.read().hash_slice(&mut self.cursor, max_changes)?;
        Ok(hashed.map(|(keys, _)| crc32c::crc32c_append(self.small, &keys.to_le_bytes())))
    }
}
