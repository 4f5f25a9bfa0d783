//! A store out of the blocks of a snapshot.
//!
//! The blocks come from a file or a peer, so nothing about them is taken for granted: whatever breaks a rule
//! of the store is an error, and the half-made store is dropped.

use super::record::{Record, split_framed};
use super::{MvccError, NEVER_COMPACTED, Store};
use crate::types::Revision;

/// A store that is being restored.
#[derive(Debug)]
pub struct Restore {
    store: Store,
    newest: Revision,
}

impl Store {
    /// Begins a store out of a snapshot.
    #[must_use]
    pub fn restore() -> Restore {
        Restore::into(Self::new())
    }
}

impl Restore {
    pub(super) fn into(empty: Store) -> Self {
        Self { store: empty, newest: Revision(0) }
    }

    /// Takes the next block. Blocks may be cut otherwise than they were written, but between records.
    ///
    /// # Errors
    /// [`MvccError::Corrupt`] if the bytes are not records in the order of revisions.
    pub fn block(&mut self, mut block: &[u8]) -> Result<(), MvccError> {
        while !block.is_empty() {
            let (body, len) = split_framed(block)?;
            self.record(&Record::parse(body)?)?;
            block = &block[len..];
        }
        Ok(())
    }

    /// The store, when all blocks were taken.
    ///
    /// # Errors
    /// [`MvccError::Corrupt`] if the revisions are impossible or a record is newer than `revision`.
    pub fn finish(mut self, revision: Revision, compacted: Revision) -> Result<Store, MvccError> {
        if revision < Revision::FIRST || revision < self.newest {
            return Err(MvccError::corrupt("a record is newer than the snapshot"));
        }
        if compacted < NEVER_COMPACTED || compacted > revision {
            return Err(MvccError::corrupt("the compacted revision is out of range"));
        }
        self.store.revision = revision;
        self.store.compacted = compacted;
        self.store.swept = compacted;
        Ok(self.store)
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), MvccError> {
        if record.mod_revision < self.newest || record.mod_revision <= Revision(0) {
            return Err(MvccError::corrupt("revisions go backwards"));
        }
        let history = self.store.index.get(record.key);
        if history.is_some_and(|history| history.newest().revision == record.mod_revision) {
            return Err(MvccError::corrupt("a key changes twice in a revision"));
        }
        let created = record.create_revision > Revision(0) && record.create_revision <= record.mod_revision;
        if *record != Record::tombstone(record.key, record.mod_revision) && !(created && record.version > 0) {
            return Err(MvccError::corrupt("impossible create revision or version"));
        }
        self.newest = record.mod_revision;
        self.store.push(record);
        Ok(())
    }
}
