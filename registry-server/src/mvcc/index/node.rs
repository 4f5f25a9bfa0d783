//! A run of neighbouring keys with what lies under them: some hundred entries, and the bytes of their keys in one
//! buffer.
//!
//! A search goes through the keys' heads: the eight bytes behind what all keys of the node begin with, as numbers
//! side by side. Only keys with the head that is looked for are compared as such, one as a rule, so that a search
//! touches a few cache lines instead of two for each of its steps.

use std::cmp::Ordering;
use std::ops::Range;

/// How many keys a node holds at most: an insertion moves some KiB. Few in tests, so that they see trees of many nodes.
pub(super) const MAX_KEYS: usize = if cfg!(test) { 16 } else { 128 };

/// A node of fewer keys is joined with its neighbour, if both together fill no more than half of one.
pub(super) const FEW_KEYS: usize = MAX_KEYS / 4;

/// A node is split at this many bytes of keys too, so that long keys cost no more than short ones.
const MAX_KEY_BYTES: usize = 64 << 10;

/// What lies under a key, and how many keys of the store are there now by it.
pub(super) trait Live {
    fn live(&self) -> usize;
}

/// Keys in order, each with a value.
#[derive(Debug)]
pub(super) struct Node<V> {
    entries: Vec<Entry<V>>,
    /// The head of each entry's key.
    heads: Vec<u64>,
    /// How many bytes all keys have in common at their beginning, at least.
    common: usize,
    /// The bytes of all keys, in the order in which they came, those of removed keys included.
    bytes: Vec<u8>,
    /// How many bytes belong to removed keys.
    garbage: usize,
    live: usize,
}

#[derive(Debug)]
struct Entry<V> {
    start: u32,
    len: u32,
    value: V,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), heads: Vec::new(), common: 0, bytes: Vec::new(), garbage: 0, live: 0 }
    }
}

impl<V: Live> Live for Node<V> {
    /// The sum of what its values say.
    fn live(&self) -> usize {
        self.live
    }
}

impl<V: Live> Node<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.key_of(&self.entries[at])
    }

    pub(super) fn value(&self, at: usize) -> &V {
        &self.entries[at].value
    }

    /// Changes a value, and counts what is live by it before and after.
    pub(super) fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut V) -> T) -> T {
        let value = &mut self.entries[at].value;
        let before = value.live();
        let answer = change(value);
        self.live = self.live + value.live() - before;
        answer
    }

    /// Where a key is, or where it belongs.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(first) = self.entries.first() else { return Err(0) };
        let beginning = &key[..key.len().min(self.common)];
        match beginning.cmp(&self.key_of(first)[..self.common]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let head = head_of(&key[self.common..]);
        let from = self.heads.partition_point(|other| *other < head);
        let alike = self.heads[from..].partition_point(|other| *other == head);
        let found = self.entries[from..from + alike].binary_search_by(|entry| self.key_of(entry).cmp(key));
        found.map(|at| from + at).map_err(|at| from + at)
    }

    /// The entries of a part, in order.
    pub(super) fn part(&self, part: Range<usize>) -> impl Iterator<Item = (&[u8], &V)> {
        self.entries[part].iter().map(|entry| (self.key_of(entry), &entry.value))
    }

    /// Puts a key in at the place where it belongs.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], value: V) {
        self.live += value.live();
        let common = self.entries.first().map_or(key.len(), |first| common_bytes(self.key_of(first), key));
        let entry = self.entry(key, value);
        if self.entries.len() == self.entries.capacity() {
            // Doubling, but never beyond what a node can hold.
            let more = self.entries.len().clamp(4, MAX_KEYS).min(MAX_KEYS + 1 - self.entries.len());
            self.entries.reserve_exact(more.max(1));
            self.heads.reserve_exact(more.max(1));
        }
        self.entries.insert(at, entry);
        if self.len() > 1 && common >= self.common {
            self.heads.insert(at, head_of(&key[self.common..]));
        } else {
            self.set_heads(common);
        }
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, at: usize) -> V {
        let entry = self.entries.remove(at);
        self.heads.remove(at);
        self.live -= entry.value.live();
        self.garbage += entry.len as usize;
        if self.garbage * 2 > self.bytes.len() {
            self.rewrite();
        }
        entry.value
    }

    /// Whether it must be split before another key comes.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_KEYS || self.bytes.len() > MAX_KEY_BYTES && self.len() > 1
    }

    /// Takes the entries from `at` on out into a node of their own.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::default();
        right.take(self.entries.drain(at..), &self.bytes);
        self.live -= right.live;
        self.rewrite();
        right
    }

    /// Adds all entries of the node that follows.
    pub(super) fn append(&mut self, mut right: Self) {
        self.take(right.entries.drain(..), &right.bytes);
    }

    fn key_of(&self, entry: &Entry<V>) -> &[u8] {
        entry.key_in(&self.bytes)
    }

    fn entry(&mut self, key: &[u8], value: V) -> Entry<V> {
        let start = u32::try_from(self.bytes.len()).expect("a node is split long before 4 GiB of keys");
        let len = u32::try_from(key.len()).expect("a key is smaller than a request");
        if self.bytes.capacity() - self.bytes.len() < key.len() {
            self.bytes.reserve_exact(key.len().max(self.bytes.len() / 4));
        }
        self.bytes.extend_from_slice(key);
        Entry { start, len, value }
    }

    fn take(&mut self, entries: impl ExactSizeIterator<Item = Entry<V>>, bytes: &[u8]) {
        self.entries.reserve_exact(entries.len());
        for entry in entries {
            self.live += entry.value.live();
            let taken = self.entry(entry.key_in(bytes), entry.value);
            self.entries.push(taken);
        }
        if let [first, .., last] = &*self.entries {
            // What the first and the last of sorted keys begin with, all begin with.
            self.set_heads(common_bytes(self.key_of(first), self.key_of(last)));
        } else if let [only] = &*self.entries {
            self.set_heads(only.len as usize);
        }
    }

    fn set_heads(&mut self, common: usize) {
        self.common = common;
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        heads.reserve_exact(self.entries.capacity());
        heads.extend(self.entries.iter().map(|entry| head_of(&self.key_of(entry)[common..])));
        self.heads = heads;
    }

    /// Gives back the bytes of removed keys and the room of entries that left.
    fn rewrite(&mut self) {
        let old = std::mem::take(self);
        self.bytes.reserve_exact(old.entries.iter().map(|entry| entry.len as usize).sum());
        self.take(old.entries.into_iter(), &old.bytes);
    }
}

impl<V> Entry<V> {
    fn key_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}

/// The first eight bytes as a number, which are in the order of the bytes. Shorter ones end with zeros, so a head may
/// stand for several keys.
fn head_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(head)
        }
    }
}

/// How many bytes two keys have in common at their beginning.
pub(super) fn common_bytes(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
