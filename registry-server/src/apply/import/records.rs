//! The keys with their history.

use bytes::Bytes;
use prost::Message;
use registry_etcd_files::bbolt::Image;
use registry_etcd_files::schema::{RevisionKey, bucket};
use registry_proto::mvccpb::KeyValue;

use super::{ImportError, each, whole};
use crate::mvcc::{RecordBlock, Restore, Store};
use crate::types::Revision;

/// A store that is being filled.
struct Filling {
    restore: Restore,
    block: RecordBlock,
    /// The newest revision that was seen.
    newest: Revision,
}

/// Reads all changes, in the order of their revisions. The revision is never behind a compaction: all newer changes may
/// have been compacted away.
pub(super) fn store(image: &Image, finished: Revision, scheduled: Revision) -> Result<Store, ImportError> {
    let mut filling = Filling { restore: Store::restore(), block: RecordBlock::default(), newest: Revision::FIRST };
    each(image, bucket::KEY, |key, value| filling.change(key, value))?;
    filling.flush().map_err(|reason| whole(image, &reason))?;
    let revision = filling.newest.max(finished).max(scheduled);
    filling.restore.finish(revision, finished).map_err(|error| whole(image, &error))
}

impl Filling {
    fn change(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let at = RevisionKey::parse(key).ok_or("it is no revision")?;
        let revision = Revision(at.main);
        if revision < self.newest {
            return Err("revisions go backwards".to_owned());
        }
        self.newest = revision;
        // Left by `snapshot restore --bump-revision`: a revision at which nothing was done.
        if value.is_empty() {
            return Ok(());
        }
        if at.is_tombstone {
            let deleted = KeyValue::decode(value).map_err(|error| format!("its value is no key-value: {error}"))?;
            self.block.delete(&deleted.key, revision);
        } else {
            self.block.put(value, revision).map_err(|error| error.to_string())?;
        }
        if self.block.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        let block: Option<Bytes> = self.block.take();
        block
            .map_or(Ok(()), |block| self.restore.block(block))
            .map_err(|error| format!("{error}, among the last changes up to revision {}", self.newest.0))
    }
}
