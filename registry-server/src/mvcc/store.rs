//! The store: the index over the chunks, and the two revisions between which reads are served.

use std::ops::Bound;
use std::sync::Arc;

use super::chunks::{CHUNK_BYTES, Chunks};
use super::compaction::Sweep;
use super::history::Change;
use super::index::Index;
use super::key_range::key_bounds;
use super::pins::{Pin, Pins};
use super::record::Record;
use super::{MvccError, WriteTxn};
use crate::types::planted::{Bug, planted};
use crate::types::{LeaseId, Revision};

/// What [`Store::compacted`] says before the first compaction. etcd says the same in `HashKV`.
pub const NEVER_COMPACTED: Revision = Revision(-1);

/// Every key with its history. It has no lock: the owner puts it behind one.
#[derive(Debug)]
pub struct Store {
    pub(super) index: Index,
    pub(super) chunks: Chunks,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    /// Up to which revision garbage has been taken out of the index; at most `compacted`.
    pub(super) swept: Revision,
    /// The sweep from `swept` onwards that is under way.
    pub(super) sweep: Option<Sweep>,
    pub(super) pins: Pins,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store at revision 1, never compacted.
    #[must_use]
    pub fn new() -> Self {
        Self::with_chunk_bytes(CHUNK_BYTES)
    }

    pub(super) fn with_chunk_bytes(chunk_bytes: usize) -> Self {
        Self {
            index: Index::default(),
            chunks: Chunks::new(chunk_bytes),
            revision: Revision::FIRST,
            compacted: NEVER_COMPACTED,
            swept: NEVER_COMPACTED,
            sweep: None,
            pins: Pins::default(),
        }
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read and watched, or [`NEVER_COMPACTED`].
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Up to where the physical side of compaction has come; [`Self::compacted`] unless slices are left or a
    /// pin holds them back.
    #[must_use]
    pub fn swept(&self) -> Revision {
        self.swept
    }

    /// The newest state of a key, if it is there.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Record<'_>> {
        let newest = self.index.get(key)?.newest();
        if newest.is_tombstone() { None } else { Some(self.chunks.record(newest.address)) }
    }

    /// The newest state of every key that a range means, in the order of keys.
    pub fn live<'a>(&'a self, key: &'a [u8], range_end: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        let histories = key_bounds(key, range_end).map(|bounds| self.index.range(bounds));
        let newest = histories.into_iter().flatten().map(|(_, history)| history.newest());
        newest.filter(|change| !change.is_tombstone()).map(|change| self.chunks.record(change.address))
    }

    /// Every key that a lease holds, in the order of keys. It reads every record, so it is for the start
    /// and for a restored snapshot.
    pub fn leased_keys(&self) -> impl Iterator<Item = (&[u8], LeaseId)> {
        let all = self.index.range((Bound::Unbounded, Bound::Unbounded));
        let live = all.filter(|(_, history)| !history.newest().is_tombstone());
        let leases = live.map(|(key, history)| (key, self.chunks.record(history.newest().address).lease));
        leases.filter(|(_, lease)| *lease != LeaseId(0))
    }

    /// Begins the only way to change a key. Nothing of it may be refused any more: see [`WriteTxn`].
    pub fn write(&mut self) -> WriteTxn<'_> {
        WriteTxn::new(self)
    }

    /// Holds the state at a revision, 0 for the newest, against the physical side of compaction. The state
    /// is then read through what took the pin; a new read below the compacted revision is still refused.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] and [`MvccError::FutureRevision`], as a range at that revision.
    pub fn pin(&self, at: Revision) -> Result<Pin, MvccError> {
        Ok(self.pins.pin(self.readable(at, self.revision)?))
    }

    /// Has `call` called whenever a pin ends at which the sweep had to stop, in place of what was called
    /// before: [`Self::compact_step`] has something to do again. It runs in whatever thread drops the pin,
    /// perhaps under locks of its own, so it should only wake somebody. Other pins end in silence. A store
    /// that was restored begins without it.
    pub fn on_unpin(&self, call: Box<dyn Fn() + Send + Sync>) {
        self.pins.on_unpin(Arc::from(call));
    }

    /// How many keys there are at the newest revision.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.index.live()
    }

    /// Bytes held for records and index, garbage included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.chunks.held_bytes() + self.index.bytes()
    }

    /// Bytes that would be held if no chunk had garbage in it. History that compaction has yet to reach
    /// counts as live.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.chunks.live_bytes() + self.index.bytes()
    }

    /// The revision that a request for `asked` reads, `current` being the newest it may see.
    pub(super) fn readable(&self, asked: Revision, current: Revision) -> Result<Revision, MvccError> {
        if asked > current {
            return Err(MvccError::FutureRevision);
        }
        let at = if asked.0 <= 0 { current } else { asked };
        if at < self.compacted { Err(MvccError::Compacted) } else { Ok(at) }
    }

    /// Adds a state of a key, made from the one that is there if one is. It must not be older than the newest.
    /// One of the same revision gives way to it.
    pub(super) fn push<'r>(&mut self, key: &[u8], make: impl FnOnce(Option<Record<'_>>) -> Record<'r>) {
        let chunks = &mut self.chunks;
        let replaced = self.index.push(key, |newest| {
            let there = newest.filter(|newest| !newest.is_tombstone() || planted(Bug::VersionNotReset));
            let record = make(there.map(|there| chunks.record(there.address)));
            Change { revision: record.mod_revision, address: chunks.append(&record) }
        });
        if let Some(replaced) = replaced {
            self.chunks.release(replaced.address);
        }
    }

    /// Takes out of a key's history what a compaction at `compacted` leaves no more, and says how many changes.
    pub(super) fn trim(&mut self, key: &[u8], compacted: Revision) -> usize {
        let dropped = self.index.trim(key, compacted);
        for change in &dropped {
            self.chunks.release(change.address);
        }
        dropped.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &mut Store, key: &str, value: &str, lease: i64) {
        let mut txn = store.write();
        txn.put(key.as_bytes(), value.as_bytes(), LeaseId(lease));
        txn.end();
    }

    #[test]
    fn an_empty_store_is_at_revision_one_and_never_compacted() {
        let store = Store::new();
        assert_eq!((store.revision(), store.compacted()), (Revision(1), Revision(-1)));
        assert_eq!((store.keys(), store.size_bytes()), (0, 0));
        assert_eq!(store.get(b"a"), None);
    }

    #[test]
    fn threads_share_a_store_and_move_its_cursors() {
        fn is_shared<T: Send + Sync>() {}
        is_shared::<Store>();
        is_shared::<(crate::mvcc::RangeCursor, crate::mvcc::SnapshotCursor, crate::mvcc::HashCursor)>();
    }

    #[test]
    fn leased_keys_are_those_that_a_lease_holds_now() {
        let mut store = Store::new();
        put(&mut store, "b", "1", 7);
        put(&mut store, "a", "1", 8);
        put(&mut store, "c", "1", 0);
        put(&mut store, "a", "2", 0);
        assert_eq!(store.leased_keys().collect::<Vec<_>>(), [(b"b".as_slice(), LeaseId(7))]);
    }

    #[test]
    fn sizes_go_back_to_nothing_when_all_is_deleted_and_compacted() {
        let mut store = Store::with_chunk_bytes(64);
        for number in 0..100 {
            put(&mut store, &format!("key-{number}"), "value", 0);
        }
        assert_eq!(store.keys(), 100);
        let mut txn = store.write();
        txn.delete_range(b"\0", b"\0");
        let deleted = txn.end().revision;
        assert_eq!(store.keys(), 0);
        put(&mut store, "last", "", 0);
        store.compact(deleted.next()).unwrap();
        while !store.compact_step(7) {}
        assert_eq!(store.index.range((Bound::Unbounded, Bound::Unbounded)).count(), 1);
        assert!(store.live_bytes() < 200 && store.size_bytes() < 300, "{} {}", store.live_bytes(), store.size_bytes());
    }
}
