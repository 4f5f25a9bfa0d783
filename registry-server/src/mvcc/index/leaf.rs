//! A run of neighbouring keys with their histories: some hundred entries, and the bytes of their keys in one
//! buffer.

use std::ops::Range;

use crate::mvcc::history::KeyHistory;

/// How many keys a leaf holds at most. A search within it touches a handful of cache lines, an insertion
/// moves 4 KiB at most.
pub(super) const MAX_KEYS: usize = 128;

/// A leaf of fewer keys is joined with its neighbour, if both together fill no more than half of one.
pub(super) const FEW_KEYS: usize = MAX_KEYS / 4;

/// A leaf is split at this many bytes of keys too, so that long keys cost no more than short ones.
const MAX_KEY_BYTES: usize = 64 << 10;

/// Keys in order, each with its history.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    entries: Vec<Entry>,
    /// The bytes of all keys, in the order in which they came, those of removed keys included.
    bytes: Vec<u8>,
    /// How many bytes belong to removed keys.
    garbage: usize,
    live: usize,
}

#[derive(Debug)]
struct Entry {
    start: u32,
    len: u32,
    history: KeyHistory,
}

impl Leaf {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys are there now, that is, whose newest change is no deletion.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.key_of(&self.entries[at])
    }

    pub(super) fn history(&self, at: usize) -> &KeyHistory {
        &self.entries[at].history
    }

    /// Changes a history, and counts whether its key is there before and after.
    pub(super) fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut KeyHistory) -> T) -> T {
        let history = &mut self.entries[at].history;
        let was_live = history.is_live();
        let answer = change(history);
        self.live = self.live + usize::from(history.is_live()) - usize::from(was_live);
        answer
    }

    /// Where a key is, or where it belongs.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| self.key_of(entry).cmp(key))
    }

    /// How many keys satisfy what holds for the first ones and not for the others.
    pub(super) fn partition(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        self.entries.partition_point(|entry| is_before(self.key_of(entry)))
    }

    /// The entries of a part, in order.
    pub(super) fn part(&self, part: Range<usize>) -> impl Iterator<Item = (&[u8], &KeyHistory)> {
        self.entries[part].iter().map(|entry| (self.key_of(entry), &entry.history))
    }

    /// Puts a key in at the place where it belongs.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], history: KeyHistory) {
        self.live += usize::from(history.is_live());
        let entry = self.entry(key, history);
        if self.entries.len() == self.entries.capacity() {
            // Doubling, but never beyond what a leaf can hold.
            let more = self.entries.len().clamp(4, MAX_KEYS).min(MAX_KEYS + 1 - self.entries.len());
            self.entries.reserve_exact(more.max(1));
        }
        self.entries.insert(at, entry);
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.live -= usize::from(entry.history.is_live());
        self.garbage += entry.len as usize;
        if self.garbage * 2 > self.bytes.len() {
            self.rewrite();
        }
    }

    /// Whether it must be split before another key comes.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_KEYS || self.bytes.len() > MAX_KEY_BYTES && self.len() > 1
    }

    /// Takes the entries from `at` on out into a leaf of their own.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::default();
        right.take(self.entries.drain(at..), &self.bytes);
        self.live -= right.live;
        self.rewrite();
        right
    }

    /// Adds all entries of the leaf that follows.
    pub(super) fn append(&mut self, mut right: Self) {
        self.take(right.entries.drain(..), &right.bytes);
    }

    fn key_of(&self, entry: &Entry) -> &[u8] {
        entry.key_in(&self.bytes)
    }

    fn entry(&mut self, key: &[u8], history: KeyHistory) -> Entry {
        let start = u32::try_from(self.bytes.len()).expect("a leaf is split long before 4 GiB of keys");
        let len = u32::try_from(key.len()).expect("a key is smaller than a request");
        if self.bytes.capacity() - self.bytes.len() < key.len() {
            self.bytes.reserve_exact(key.len().max(self.bytes.len() / 4));
        }
        self.bytes.extend_from_slice(key);
        Entry { start, len, history }
    }

    fn take(&mut self, entries: impl ExactSizeIterator<Item = Entry>, bytes: &[u8]) {
        self.entries.reserve_exact(entries.len());
        for entry in entries {
            self.live += usize::from(entry.history.is_live());
            let taken = self.entry(entry.key_in(bytes), entry.history);
            self.entries.push(taken);
        }
    }

    /// Gives back the bytes of removed keys and the room of entries that left.
    fn rewrite(&mut self) {
        let old = std::mem::take(self);
        self.bytes.reserve_exact(old.entries.iter().map(|entry| entry.len as usize).sum());
        self.take(old.entries.into_iter(), &old.bytes);
    }
}

impl Entry {
    fn key_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}
