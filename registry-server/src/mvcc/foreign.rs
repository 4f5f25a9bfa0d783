//! Blocks for a [`Restore`](super::Restore), out of key-values that another store wrote, one at a time and in the order of
//! their revisions.
//!
//! What a record alone can break of the store's rules is refused here, where it can still be named; what only all of them
//! together can break, as the restore takes the block.

use bytes::Bytes;

use super::MvccError;
use super::record::Record;
use super::restore::check_possible;
use crate::types::Revision;

/// A block that is full is given away. The record that fills it is still in it, so it becomes a chunk of the store as it is.
const BLOCK_BYTES: usize = 128 << 10;

/// The records of a block that is being made.
#[derive(Debug, Default)]
pub struct RecordBlock(Vec<u8>);

impl RecordBlock {
    /// Adds what a put has written, an encoded `KeyValue`.
    ///
    /// # Errors
    /// [`MvccError::Corrupt`] if it is none, or no state that a key can have at that revision.
    pub fn put(&mut self, body: &[u8], at: Revision) -> Result<(), MvccError> {
        let record = Record::parse(body)?;
        if record.mod_revision != at {
            return Err(MvccError::corrupt("the value is of another revision than the key says"));
        }
        if record.is_tombstone() {
            return Err(MvccError::corrupt("impossible create revision or version"));
        }
        check_possible(&record)?;
        record.append_framed(&mut self.0);
        Ok(())
    }

    /// Adds a deletion.
    pub fn delete(&mut self, key: &[u8], at: Revision) {
        Record::tombstone(key, at).append_framed(&mut self.0);
    }

    /// Whether it is to be given away.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= BLOCK_BYTES
    }

    /// What was added since the last call; none if nothing was.
    pub fn take(&mut self) -> Option<Bytes> {
        let block = std::mem::take(&mut self.0);
        (!block.is_empty()).then(|| block.into())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use registry_proto::mvccpb::KeyValue;

    use super::*;
    use crate::mvcc::{NEVER_COMPACTED, Store};

    fn written(key: &'static str, at: i64, version: i64) -> Vec<u8> {
        let key = Bytes::from_static(key.as_bytes());
        KeyValue { key, create_revision: 2, mod_revision: at, version, ..KeyValue::default() }.encode_to_vec()
    }

    #[test]
    fn records_of_another_store_become_a_store() {
        let mut block = RecordBlock::default();
        block.put(&written("a", 2, 1), Revision(2)).unwrap();
        block.put(&written("b", 2, 1), Revision(2)).unwrap();
        block.put(&written("a", 3, 2), Revision(3)).unwrap();
        block.delete(b"b", Revision(4));
        let mut restore = Store::restore();
        restore.block(block.take().unwrap()).unwrap();
        assert_eq!(block.take(), None);
        let store = restore.finish(Revision(9), NEVER_COMPACTED).unwrap();
        assert_eq!((store.keys(), store.revision()), (1, Revision(9)));
        assert_eq!(store.get(b"a").unwrap().version, 2);
    }

    #[test]
    fn what_no_key_can_be_is_refused() {
        let mut block = RecordBlock::default();
        assert!(block.put(&written("a", 3, 1), Revision(4)).is_err(), "of another revision");
        assert!(block.put(&written("a", 3, 0), Revision(3)).is_err(), "of no version");
        assert!(block.put(&written("a", 3, 9), Revision(3)).is_err(), "more versions than revisions");
        assert!(block.put(b"\xff", Revision(3)).is_err());
        assert_eq!(block.take(), None);
    }
}
