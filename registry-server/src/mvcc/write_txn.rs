//! A write: changes that share one revision.
//!
//! A change is in the index at once, so the transaction reads what it wrote; the store's revision moves at
//! the end, and nobody else sees the store before. There is no way back: `apply` validates a request
//! before its first change. Events are collected with the state before each change, because what watchers
//! ask for is not known yet and history may be gone when it is.

use bytes::Bytes;

use super::event::{Event, EventKind};
use super::key_range::key_bounds;
use super::record::{Record, key_in};
use super::{MvccError, RangeAnswer, RangeQuery, Store};
use crate::types::{LeaseId, Revision};

/// A transaction that is being written. Dropping it without [`WriteTxn::end`] is a bug, which a debug build
/// asserts: what was changed stays changed under its revision, but watchers are not told.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    store: &'a mut Store,
    events: Vec<Event>,
}

/// What a put replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The encoded `mvccpb.KeyValue` before the put; none if the key was not there.
    pub prev: Option<Bytes>,
    /// The lease that held the key before; 0 for none.
    pub prev_lease: LeaseId,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The store's revision now: one more than before if anything changed, else the same.
    pub revision: Revision,
    /// Every change, in the order in which they were made; none if nothing changed.
    pub events: Vec<Event>,
}

impl<'a> WriteTxn<'a> {
    pub(super) fn new(store: &'a mut Store) -> Self {
        Self { store, events: Vec::new() }
    }

    /// The revision that an answer of this transaction carries: one more than before once it has changed
    /// something.
    #[must_use]
    pub fn revision(&self) -> Revision {
        if self.events.is_empty() { self.store.revision } else { self.store.revision.next() }
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

    /// Writes a key. A second change of a key in one transaction, which the API refuses, replaces the
    /// first in history.
    pub fn put(&mut self, key: &[u8], value: &[u8], lease: LeaseId) -> Put {
        let at = self.store.revision.next();
        let prev = self.store.get(key);
        let (create_revision, version) = prev.map_or((at, 1), |prev| (prev.create_revision, prev.version + 1));
        let prev_lease = prev.map_or(LeaseId(0), |prev| prev.lease);
        let prev = prev.map(Record::to_body);
        let record = Record { key, create_revision, mod_revision: at, version, value, lease };
        self.store.push(&record);
        self.events.push(event(EventKind::Put, record, prev.clone()));
        Put { prev, prev_lease }
    }

    /// Deletes the keys that a range means, in the order of keys; those that are not there change nothing.
    pub fn delete_range(&mut self, key: &[u8], range_end: &[u8]) -> Vec<Deleted> {
        let at = self.store.revision.next();
        let found = self.live_in(key, range_end);
        for deleted in &found {
            let record = Record::tombstone(&deleted.key, at);
            self.store.push(&record);
            self.events.push(event(EventKind::Delete, record, Some(deleted.prev.clone())));
        }
        found
    }

    /// Ends the transaction. The store's revision advances by one if and only if something changed.
    pub fn end(mut self) -> Committed {
        self.store.revision = self.revision();
        Committed { revision: self.store.revision, events: std::mem::take(&mut self.events) }
    }

    fn live_in(&self, key: &[u8], range_end: &[u8]) -> Vec<Deleted> {
        let Some(bounds) = key_bounds(key, range_end) else { return Vec::new() };
        let newest = self.store.index.range::<[u8], _>(bounds).map(|(_, history)| history.newest());
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
        debug_assert!(self.events.is_empty() || std::thread::panicking(), "a write that changed something is ended");
        self.store.revision = self.revision();
    }
}

fn event(kind: EventKind, record: Record<'_>, prev_kv: Option<Bytes>) -> Event {
    let kv = record.to_body();
    Event { kind, key: key_in(&kv), kv, prev_kv }
}
