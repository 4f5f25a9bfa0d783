//! The store as blocks of records, for a snapshot.
//!
//! A snapshot holds what compaction leaves of history up to its revision, in the order of revisions, and
//! nothing else: were a record that the sweep has taken out still in it, the deletion that followed might
//! be missing and the key would be back. The bytes depend on neither sweep nor chunks; only where one block
//! ends and the next begins does.

use super::Store;
use super::history::Change;
use super::pins::Pin;
use crate::types::Revision;

/// A block is closed once it has this many bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// How far a snapshot has come. It pins what it has yet to read.
#[derive(Debug)]
pub struct SnapshotCursor {
    revision: Revision,
    compacted: Revision,
    /// The chunk that is read next.
    chunk: u32,
    _pin: Pin,
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
}

impl Store {
    /// Begins a snapshot of the store as it is now.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotCursor {
        let pin = self.pins.pin(self.compacted);
        SnapshotCursor { revision: self.revision, compacted: self.compacted, chunk: 0, _pin: pin }
    }

    /// The next block of records, about 1 MiB and at least one record; none at the end.
    pub fn snapshot_block(&self, cursor: &mut SnapshotCursor) -> Option<Vec<u8>> {
        let mut block = Vec::new();
        while block.len() < BLOCK_BYTES
            && let Some((number, _)) = self.chunks.held_from(cursor.chunk)
        {
            self.snapshot_chunk(cursor, number, &mut block);
        }
        if block.is_empty() { None } else { Some(block) }
    }

    fn snapshot_chunk(&self, cursor: &mut SnapshotCursor, number: u32, block: &mut Vec<u8>) {
        cursor.chunk = number + 1;
        let records = self.chunks.records_from(number, 0).take_while(|(address, _)| address.chunk() == number);
        for (address, record) in records {
            if record.mod_revision > cursor.revision {
                // All that follows was written after the snapshot began.
                cursor.chunk = u32::MAX;
                return;
            }
            let change = Change { revision: record.mod_revision, address };
            let history = self.index.get(record.key).filter(|history| history.refers_to(change));
            if history.is_some_and(|history| history.keeps(change, cursor.compacted)) {
                record.append_framed(block);
            }
        }
    }
}
