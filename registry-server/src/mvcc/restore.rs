//! A store out of the blocks of a snapshot.
//!
//! The blocks come from a file or a peer, so nothing about them is taken for granted: whatever breaks a rule
//! of the store is an error, and the half-made store is dropped.

use bytes::Bytes;

use super::chunks::Address;
use super::history::Change;
use super::record::{Record, split_framed};
use super::{MvccError, NEVER_COMPACTED, Store};
use crate::types::{LeaseId, Revision};

/// A store that is being restored.
#[derive(Debug)]
pub struct Restore {
    store: Store,
    newest: Revision,
    has_leases: bool,
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
        Self { store: empty, newest: Revision(0), has_leases: false }
    }

    /// Takes the next block. Blocks may be cut otherwise than they were written, but between records. One of
    /// about a chunk's size becomes a chunk without being copied.
    ///
    /// # Errors
    /// [`MvccError::Corrupt`] if the bytes are not records in the order of revisions.
    pub fn block(&mut self, block: Bytes) -> Result<(), MvccError> {
        let mut rest = block;
        while !rest.is_empty() {
            let number = self.store.chunks.next_number();
            let (len, first) = self.records(&rest, number)?;
            let chunk = rest.split_to(len);
            self.store.chunks.adopt(chunk, first);
        }
        Ok(())
    }

    /// Whether any record so far names a lease. If none does, no key is held by one.
    #[must_use]
    pub fn has_leases(&self) -> bool {
        self.has_leases
    }

    /// The store, when all blocks were taken.
    ///
    /// # Errors
    /// [`MvccError::Corrupt`] if the revisions are impossible or a record is newer than `revision`.
    pub fn finish(mut self, revision: Revision, compacted: Revision) -> Result<Store, MvccError> {
        if revision < Revision::FIRST || revision == Revision(i64::MAX) || revision < self.newest {
            return Err(MvccError::corrupt("a record is newer than the snapshot, or no revision follows it"));
        }
        if compacted < NEVER_COMPACTED || compacted > revision {
            return Err(MvccError::corrupt("the compacted revision is out of range"));
        }
        self.store.revision = revision;
        self.store.compacted = compacted;
        self.store.swept = compacted;
        Ok(self.store)
    }

    /// Puts the records at the beginning of `block` into the index, as many as the chunk `number` takes. Says
    /// how many bytes they are, and the revision of the first.
    fn records(&mut self, block: &[u8], number: u32) -> Result<(usize, Revision), MvccError> {
        let (mut offset, mut first) = (0, None);
        while offset < block.len() {
            let (body, len) = split_framed(&block[offset..])?;
            if offset > 0 && !self.store.chunks.adopts(offset + len) {
                break;
            }
            let record = Record::parse(body)?;
            self.record(&record, Address::new(number, offset, record.is_tombstone()))?;
            first = first.or(Some(record.mod_revision));
            offset += len;
        }
        Ok((offset, first.ok_or(MvccError::corrupt("an empty block"))?))
    }

    fn record(&mut self, record: &Record<'_>, address: Address) -> Result<(), MvccError> {
        if record.mod_revision < self.newest || record.mod_revision <= Revision(0) {
            return Err(MvccError::corrupt("revisions go backwards"));
        }
        check_possible(record)?;
        self.newest = record.mod_revision;
        self.has_leases |= record.lease != LeaseId(0);
        match self.store.index.push(record.key, |_| Change { revision: record.mod_revision, address }) {
            None => Ok(()),
            Some(_) => Err(MvccError::corrupt("a key changes twice in a revision")),
        }
    }
}

/// Whether a record alone is a state that a key can have.
pub(super) fn check_possible(record: &Record<'_>) -> Result<(), MvccError> {
    let created = record.create_revision > Revision(0) && record.create_revision <= record.mod_revision;
    let written = created && (1..=record.mod_revision.0).contains(&record.version);
    if *record != Record::tombstone(record.key, record.mod_revision) && !written {
        return Err(MvccError::corrupt("impossible create revision or version"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(records: &[Record<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.append_framed(&mut bytes));
        bytes
    }

    fn put(key: &str, create: i64, modified: i64, version: i64) -> Record<'_> {
        Record {
            key: key.as_bytes(),
            create_revision: Revision(create),
            mod_revision: Revision(modified),
            version,
            value: b"value",
            lease: LeaseId(0),
        }
    }

    #[test]
    fn a_block_that_breaks_a_rule_is_refused() {
        let refused = [
            vec![put("a", 3, 3, 1), put("b", 2, 2, 1)],
            vec![put("a", 2, 2, 1), put("a", 2, 2, 2)],
            vec![put("a", 3, 2, 1)],
            vec![put("a", 0, 2, 1)],
            vec![put("a", 2, 2, -1)],
            vec![put("a", 2, 2, i64::MAX)],
            vec![Record { value: b"of a deletion", ..Record::tombstone(b"a", Revision(2)) }],
            vec![put("a", -1, -1, 1)],
        ];
        for records in refused {
            let answer = Store::restore().block(framed(&records).into());
            assert!(matches!(answer, Err(MvccError::Corrupt { .. })), "{records:?}");
        }
    }

    #[test]
    fn impossible_revisions_are_refused() {
        let restore = || {
            let mut restore = Store::restore();
            restore.block(framed(&[put("a", 5, 5, 1)]).into()).unwrap();
            restore
        };
        assert!(restore().finish(Revision(4), NEVER_COMPACTED).is_err());
        assert!(restore().finish(Revision(5), Revision(6)).is_err());
        assert!(restore().finish(Revision(i64::MAX), NEVER_COMPACTED).is_err());
        assert_eq!(restore().finish(Revision(5), Revision(5)).unwrap().keys(), 1);
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_another_store_but_never_a_panic() {
        let bytes = framed(&[put("a", 2, 2, 1), put("b", 3, 3, 1), Record::tombstone(b"a", Revision(4))]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut restore = Store::restore();
            let Ok(()) = restore.block(flipped.into()) else { continue };
            let Ok(mut store) = restore.finish(Revision(100), Revision(3)) else { continue };
            store.compact(Revision(50)).unwrap();
            while !store.compact_step(1) {}
            store.hash_kv(Revision(0)).unwrap();
        }
    }
}
