//! The instances between events: what a list and the events after it add up to.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use super::snapshot::{Discovered, Freshness, Snapshot};
use crate::instance::Instance;

/// One key below the service's prefix.
#[derive(Debug)]
struct Row {
    create_revision: i64,
    /// What could be read last; none if nothing of this incarnation could.
    readable: Option<Arc<Discovered>>,
    /// The newest value could not be read.
    undecodable: bool,
}

/// The rows by instance id, at `revision`. An id is whatever stands behind the prefix, text or not, so that
/// no record goes uncounted.
#[derive(Debug)]
pub(crate) struct Table {
    service: Arc<str>,
    rows: BTreeMap<Box<[u8]>, Row>,
    revision: i64,
    resets: u64,
    cluster_id: u64,
}

/// A key-value of the service's prefix, its id already cut out of the key.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
}

impl Table {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self { service, rows: BTreeMap::new(), revision: 0, resets: 0, cluster_id: 0 }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Everything up to `revision` is in. A lower one is an answer that came late.
    pub(crate) fn advance(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    /// 0 before the first answer.
    pub(crate) fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    pub(crate) fn set_cluster_id(&mut self, cluster_id: u64) {
        self.cluster_id = cluster_id;
    }

    /// The registry is another cluster: its revisions have nothing to do with the ones so far, and equal
    /// ones do not mean equal records. A whole list must follow at once.
    pub(crate) fn reset(&mut self) {
        self.rows.clear();
        self.revision = 0;
        self.resets += 1;
    }

    pub(crate) fn put(&mut self, entry: &Entry<'_>) {
        let old = self.rows.remove(entry.id).filter(|row| row.create_revision == entry.create_revision);
        let unchanged = old.as_ref().and_then(|row| row.readable.as_ref());
        if let Some(known) = unchanged.filter(|known| known.mod_revision == entry.mod_revision) {
            let readable = Some(Arc::clone(known));
            let row = Row { create_revision: entry.create_revision, readable, undecodable: false };
            self.rows.insert(entry.id.into(), row);
            return;
        }
        let row = match Instance::from_record(&self.service, entry.id, entry.value) {
            Ok(instance) => self.readable(instance, entry.create_revision, entry.mod_revision),
            Err(error) => {
                let (id, cause) = (entry.id.escape_ascii(), error.source().map(tracing::field::display));
                tracing::warn!(service = %self.service, %id, %error, cause, "skipping a record");
                let readable = old.and_then(|row| row.readable);
                Row { create_revision: entry.create_revision, readable, undecodable: true }
            }
        };
        self.rows.insert(entry.id.into(), row);
    }

    /// Puts an instance that needs no decoding, in its own incarnation or a new one.
    pub(crate) fn put_instance(&mut self, instance: Instance, mod_revision: i64) {
        let id: Box<[u8]> = instance.id().as_bytes().into();
        let create_revision = self.rows.get(&id).map_or(mod_revision, |row| row.create_revision);
        let row = self.readable(instance, create_revision, mod_revision);
        self.rows.insert(id, row);
    }

    pub(crate) fn delete(&mut self, id: &[u8]) -> bool {
        self.rows.remove(id).is_some()
    }

    /// A whole list at `revision` takes the place of all rows. What has not changed keeps its identity.
    pub(crate) fn replace<'a>(&mut self, entries: impl IntoIterator<Item = Entry<'a>>, revision: i64) {
        let mut old = std::mem::take(&mut self.rows);
        for entry in entries {
            if let Some(row) = old.remove(entry.id) {
                self.rows.insert(entry.id.into(), row);
            }
            self.put(&entry);
        }
        self.advance(revision);
    }

    pub(crate) fn snapshot(&self, freshness: Freshness) -> Snapshot {
        Snapshot {
            revision: self.revision,
            freshness,
            instances: self.rows.values().filter_map(|row| row.readable.clone()).collect(),
            undecodable: self.rows.values().filter(|row| row.undecodable).count(),
            resets: self.resets,
            cluster_id: self.cluster_id,
            held: 0,
        }
    }

    fn readable(&self, instance: Instance, create_revision: i64, mod_revision: i64) -> Row {
        let readable = Some(Arc::new(Discovered { instance, create_revision, mod_revision }));
        Row { create_revision, readable, undecodable: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(id: &'a str, value: &'a [u8], create_revision: i64, mod_revision: i64) -> Entry<'a> {
        Entry { id: id.as_bytes(), value, create_revision, mod_revision }
    }

    const RECORD: &[u8] = br#"{"version":1}"#;

    #[test]
    fn a_replaced_table_drops_what_the_list_lacks_and_keeps_what_did_not_change() {
        let mut table = Table::new("pay".into());
        table.replace([entry("a", RECORD, 1, 1), entry("b", RECORD, 2, 2)], 2);
        let before = table.snapshot(Freshness::Synced);
        table.replace([entry("a", RECORD, 1, 1), entry("c", RECORD, 3, 3)], 4);
        let after = table.snapshot(Freshness::Synced);
        assert_eq!(after.instances().iter().map(|i| i.id()).collect::<Vec<_>>(), ["a", "c"]);
        assert!(Arc::ptr_eq(&before.instances()[0], &after.instances()[0]));
        assert_eq!(after.revision(), 4);
    }

    #[test]
    fn an_unreadable_record_is_counted_and_what_was_read_before_stays() {
        let mut table = Table::new("pay".into());
        table.replace([entry("a", RECORD, 1, 1), entry("b", b"?", 2, 2)], 2);
        table.put(&entry("a", b"?", 1, 3));
        let snapshot = table.snapshot(Freshness::Synced);
        assert_eq!((snapshot.instances().len(), snapshot.undecodable()), (1, 2));
        table.put(&entry("a", b"?", 4, 4));
        assert!(table.snapshot(Freshness::Synced).instances().is_empty(), "another incarnation was never read");
    }

    #[test]
    fn a_key_that_is_no_text_is_counted_until_it_is_deleted() {
        let mut table = Table::new("pay".into());
        let odd: &[u8] = b"\xff/\xfe";
        table.put(&Entry { id: odd, value: RECORD, create_revision: 1, mod_revision: 1 });
        let snapshot = table.snapshot(Freshness::Synced);
        assert_eq!((snapshot.instances().len(), snapshot.undecodable()), (0, 1));
        assert!(table.delete(odd));
        assert_eq!(table.snapshot(Freshness::Synced).undecodable(), 0);
    }

    #[test]
    fn g11_the_revision_goes_back_only_with_a_reset() {
        let mut table = Table::new("pay".into());
        table.advance(9);
        table.advance(3);
        assert_eq!(table.revision(), 9);
        table.reset();
        table.advance(3);
        assert_eq!((table.revision(), table.snapshot(Freshness::Synced).resets()), (3, 1));
    }
}
