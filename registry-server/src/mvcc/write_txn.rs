//! A write: changes that share one revision.
//!
//! A change is in the index at once, so the transaction reads what it wrote; the store's revision moves at
//! the end, and nobody else sees the store before. There is no way back: `apply` validates a request
//! before its first change. What watchers are told is read back from history, and only if somebody watches.

use bytes::Bytes;

use super::chunks::Place;
use super::event::Event;
use super::key_range::key_bounds;
use super::record::{Record, key_in};
use super::{MvccError, RangeAnswer, RangeQuery, Store};
use crate::types::planted::{Bug, planted};
use crate::types::{LeaseId, Revision};

/// A transaction that is being written. Dropping it without [`WriteTxn::end`] is a bug, which a debug build
/// asserts: what was changed stays changed under its revision, but watchers are not told.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    store: &'a mut Store,
    /// Where its first record is.
    begin: Place,
    changes: usize,
}

/// A key that a delete took out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The key.
    pub key: Bytes,
    /// The lease that held it; 0 for none.
    pub lease: LeaseId,
    /// The encoded `mvccpb.KeyValue` before.
    pub prev: Bytes,
}

/// What a transaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The store's revision now: one more than before if anything changed, else the same.
    pub revision: Revision,
    /// How often a key was changed.
    pub changes: usize,
    begin: Place,
}

impl<'a> WriteTxn<'a> {
    pub(super) fn new(store: &'a mut Store) -> Self {
        Self { begin: store.chunks.end(), store, changes: 0 }
    }

    /// The revision that an answer of this transaction carries: one more than before once it has changed
    /// something.
    #[must_use]
    pub fn revision(&self) -> Revision {
        if self.changes == 0 { self.store.revision } else { self.store.revision.next() }
    }

    /// The newest state of a key, the transaction's own changes included.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Record<'_>> {
        self.store.get(key)
    }

    /// Reads, the transaction's own changes included.
    ///
    /// # Errors
    /// As [`Store::range`], [`Self::revision`] being the newest revision.
    pub fn range(&self, query: &RangeQuery) -> Result<RangeAnswer, MvccError> {
        self.store.range_upto(query, self.revision())
    }

    /// Writes a key, and says which lease held it before; 0 for none. A second change of a key in one
    /// transaction, which the API lets through in few cases, replaces the first in history.
    pub fn put(&mut self, key: &[u8], value: &[u8], lease: LeaseId) -> LeaseId {
        let at = self.store.revision.next();
        let mut prev_lease = LeaseId(0);
        self.store.push(key, |prev| {
            let (create_revision, version) = prev.map_or((at, 1), |prev| (prev.create_revision, prev.version + 1));
            prev_lease = prev.map_or(LeaseId(0), |prev| prev.lease);
            Record { key, create_revision, mod_revision: at, version, value, lease }
        });
        self.changes += 1;
        prev_lease
    }

    /// Deletes the keys that a range means, in the order of keys; those that are not there change nothing.
    pub fn delete_range(&mut self, key: &[u8], range_end: &[u8]) -> Vec<Deleted> {
        let at = self.store.revision.next();
        let found = self.live_in(key, range_end);
        let first = usize::from(found.len() > 1 && planted(Bug::TombstoneDropped));
        for deleted in &found[first..] {
            self.store.push(&deleted.key, |_| Record::tombstone(&deleted.key, at));
        }
        self.changes += found.len();
        found
    }

    /// Ends the transaction. The store's revision advances by one if and only if something changed.
    pub fn end(mut self) -> Committed {
        let changes = self.changes;
        self.store.revision = self.revision();
        // Nothing is left for `drop` to do.
        self.changes = 0;
        Committed { revision: self.store.revision, changes, begin: self.begin }
    }

    fn live_in(&self, key: &[u8], range_end: &[u8]) -> Vec<Deleted> {
        let Some(bounds) = key_bounds(key, range_end) else { return Vec::new() };
        let newest = self.store.index.range(bounds).map(|(_, history)| history.newest());
        let live = newest.filter(|newest| !newest.is_tombstone());
        live.map(|newest| {
            let prev = self.store.chunks.record(newest.address);
            let body = prev.to_body();
            Deleted { key: key_in(&body), lease: prev.lease, prev: body }
        })
        .collect()
    }
}

impl Drop for WriteTxn<'_> {
    fn drop(&mut self) {
        debug_assert!(self.changes == 0 || std::thread::panicking(), "a write that changed something is ended");
        self.store.revision = self.revision();
    }
}

impl Store {
    /// What became of every key that the last write changed, in the order of their last changes. A write that
    /// others followed is asked for with [`Store::events`].
    #[must_use]
    pub fn events_of(&self, last: &Committed) -> Vec<Event> {
        self.events_at(last.begin, last.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::{EventCursor, EventKind};

    fn numbers(store: &Store, key: &str) -> (i64, i64, i64) {
        let record = store.get(key.as_bytes()).unwrap();
        (record.create_revision.0, record.mod_revision.0, record.version)
    }

    fn put(store: &mut Store, key: &str, value: &str) -> Committed {
        let mut txn = store.write();
        txn.put(key.as_bytes(), value.as_bytes(), LeaseId(0));
        txn.end()
    }

    #[test]
    fn the_first_write_is_revision_two() {
        assert_eq!(put(&mut Store::new(), "a", "1").revision, Revision(2));
    }

    #[test]
    fn the_version_counts_puts_and_starts_again_after_a_deletion() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        put(&mut store, "a", "2");
        assert_eq!(numbers(&store, "a"), (2, 3, 2));
        let mut txn = store.write();
        txn.delete_range(b"a", b"");
        txn.end();
        put(&mut store, "a", "3");
        assert_eq!(numbers(&store, "a"), (5, 5, 1));
    }

    #[test]
    fn a_write_that_changes_nothing_leaves_the_revision() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        let mut txn = store.write();
        assert_eq!(txn.delete_range(b"b", b"\0"), []);
        assert_eq!(txn.revision(), Revision(2));
        let committed = txn.end();
        assert_eq!((committed.revision, committed.changes), (Revision(2), 0));
    }

    #[test]
    fn all_changes_of_a_transaction_share_one_revision_and_are_read_in_it() {
        let mut store = Store::new();
        put(&mut store, "old", "1");
        let mut txn = store.write();
        assert_eq!(txn.put(b"a", b"1", LeaseId(7)), LeaseId(0));
        txn.put(b"b", b"1", LeaseId(0));
        assert_eq!(txn.delete_range(b"old", b"").len(), 1);
        let answer = txn.range(&RangeQuery::range("\0", "\0")).unwrap();
        assert_eq!((answer.count, answer.revision), (2, Revision(3)));
        let before = RangeQuery { revision: Revision(2), ..RangeQuery::range("\0", "\0") };
        assert_eq!(txn.range(&before).unwrap().count, 1);
        let committed = txn.end();
        assert_eq!(committed.revision, Revision(3));
        assert_eq!((committed.changes, store.events_of(&committed).len()), (3, 3));
        assert_eq!((numbers(&store, "a"), numbers(&store, "b")), ((3, 3, 1), (3, 3, 1)));
    }

    #[test]
    fn a_put_and_its_event_tell_what_was_before() {
        let mut store = Store::new();
        let mut txn = store.write();
        txn.put(b"a", b"1", LeaseId(7));
        let committed = txn.end();
        let first = store.events_of(&committed).remove(0);
        assert_eq!((first.kind, first.prev_kv.as_ref(), &first.key[..]), (EventKind::Put, None, b"a".as_slice()));
        let mut txn = store.write();
        assert_eq!(txn.put(b"a", b"2", LeaseId(8)), LeaseId(7));
        let committed = txn.end();
        assert_eq!(store.events_of(&committed)[0].prev_kv, Some(first.kv));
    }

    #[test]
    fn a_second_change_of_a_key_in_a_transaction_replaces_the_first() {
        let mut store = Store::new();
        let mut txn = store.write();
        txn.put(b"a", b"1", LeaseId(0));
        txn.delete_range(b"a", b"");
        txn.put(b"a", b"2", LeaseId(0));
        txn.end();
        assert_eq!((numbers(&store, "a"), store.keys()), ((2, 2, 1), 1));
        assert_eq!(store.events(&mut EventCursor::new(Revision(2), true), usize::MAX).unwrap()[0].events.len(), 1);
    }

    #[test]
    fn a_key_that_is_changed_twice_is_told_as_it_is_in_history() {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        put(&mut store, "c", "1");
        let mut txn = store.write();
        txn.put(b"a", b"2", LeaseId(0));
        txn.put(b"b", b"1", LeaseId(0));
        txn.delete_range(b"a", b"\0");
        txn.put(b"c", b"2", LeaseId(0));
        let committed = txn.end();
        let told = store.events_of(&committed);
        assert_eq!(store.events(&mut EventCursor::new(Revision(4), true), usize::MAX).unwrap()[0].events, told);
        let brief: Vec<_> = told.iter().map(|event| (event.kind, &event.key[..], event.prev_kv.is_some())).collect();
        let expected: [(_, &[u8], _); 3] =
            [(EventKind::Delete, b"a", true), (EventKind::Delete, b"b", false), (EventKind::Put, b"c", true)];
        assert_eq!(brief, expected);
    }
}
