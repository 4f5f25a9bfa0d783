//! Keys in order, each with its history: leaves of some hundred keys below an ordinary map.
//!
//! Beside lookups it counts the keys of a range without visiting them, since each leaf knows how many of its
//! keys are there. A lookup costs a search in the small map, which stays in the processor's cache, and one in
//! a leaf.

mod leaf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use self::leaf::{FEW_KEYS, Leaf, MAX_KEYS};
use super::chunks::Address;
use super::history::{Change, KeyHistory};
use super::key_range::KeyBounds;
use crate::types::Revision;

/// What a key costs beside its own bytes and its changes: an entry of a leaf, of which some room is unused.
const BYTES_PER_KEY: u64 = 24;

/// The ordered index.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Each leaf under a key that is at most its first one and above the last one of the leaf before.
    leaves: BTreeMap<Box<[u8]>, Leaf>,
    live: usize,
    bytes: u64,
}

impl Index {
    /// How many keys are there at the newest revision.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Bytes held for keys and changes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&KeyHistory> {
        let leaf = self.leaf_of(key)?.1;
        leaf.search(key).ok().map(|at| leaf.history(at))
    }

    /// Adds a change to a key's history, made from its newest one; one of the same revision gives way to it and
    /// is returned.
    pub(super) fn push(&mut self, key: &[u8], make: impl FnOnce(Option<Change>) -> Change) -> Option<Change> {
        let Some((_, leaf)) = leaf_mut(&mut self.leaves, key) else {
            let change = make(None);
            let mut leaf = Leaf::default();
            leaf.insert(0, key, KeyHistory::new(change));
            self.count_new(key, change);
            self.put_first(leaf);
            return None;
        };
        match leaf.search(key) {
            Ok(at) => {
                let before = leaf.live();
                let replaced = leaf.change(at, |history| history.push(make(Some(history.newest()))));
                self.live = self.live + leaf.live() - before;
                self.bytes += if replaced.is_some() { 0 } else { size_of::<Change>() as u64 };
                replaced
            }
            Err(at) => {
                let change = make(None);
                let right = insert(leaf, at, key, KeyHistory::new(change));
                self.count_new(key, change);
                if let Some(right) = right {
                    self.leaves.insert(right.key(0).into(), right);
                }
                None
            }
        }
    }

    /// Takes out of a key's history what a compaction at `compacted` leaves no more, and the key if that is all.
    pub(super) fn trim(&mut self, key: &[u8], compacted: Revision) -> SmallVec<[Change; 4]> {
        let Some((below, leaf)) = leaf_mut(&mut self.leaves, key) else { return SmallVec::new() };
        let Ok(at) = leaf.search(key) else { return SmallVec::new() };
        let before = leaf.live();
        let dropped = leaf.change(at, |history| history.trim(compacted));
        self.live = self.live + leaf.live() - before;
        self.bytes -= (dropped.len() * size_of::<Change>()) as u64;
        if leaf.history(at).is_empty() {
            leaf.remove(at);
            self.bytes -= key.len() as u64 + BYTES_PER_KEY;
            if leaf.len() < FEW_KEYS {
                let below: Box<[u8]> = below.into();
                self.join(&below);
            }
        }
        dropped
    }

    /// A change of a key moves to another place, unless it is not the key's any more.
    pub(super) fn relocate(&mut self, key: &[u8], change: Change, to: impl FnOnce() -> Address) {
        let Some((_, leaf)) = leaf_mut(&mut self.leaves, key) else { return };
        let Ok(at) = leaf.search(key) else { return };
        leaf.change(at, |history| {
            if history.refers_to(change) {
                history.relocate(change, to());
            }
        });
    }

    /// All keys within the bounds, in order.
    pub(super) fn range<'a>(&'a self, bounds: KeyBounds<'a>) -> impl Iterator<Item = (&'a [u8], &'a KeyHistory)> {
        let (start, end) = bounds;
        let leaves = self.leaves_from(start).take_while(move |(below, _)| is_within(below, end));
        leaves.flat_map(move |(_, leaf)| {
            let from = leaf.partition(|key| is_below(key, start));
            let to = leaf.partition(|key| is_within(key, end));
            leaf.part(from..to.max(from))
        })
    }

    /// How many keys within the bounds are there at the newest revision.
    pub(super) fn count_live(&self, bounds: KeyBounds<'_>) -> usize {
        let (start, end) = bounds;
        let mut leaves = self.leaves_from(start).peekable();
        let mut count = 0;
        let mut first = true;
        while let Some((_, leaf)) = leaves.next() {
            // What follows begins within the bounds, so all of this leaf ends within them.
            let is_whole = !first && leaves.peek().is_some_and(|(next, _)| is_within(next, end));
            if is_whole {
                count += leaf.live();
                continue;
            }
            let from = if first { leaf.partition(|key| is_below(key, start)) } else { 0 };
            let to = leaf.partition(|key| is_within(key, end));
            count += leaf.part(from..to.max(from)).filter(|(_, history)| history.is_live()).count();
            first = false;
            if to < leaf.len() {
                break;
            }
        }
        count
    }

    fn leaf_of(&self, key: &[u8]) -> Option<(&[u8], &Leaf)> {
        self.leaves.range::<[u8], _>(upto(key)).next_back().map(|(below, leaf)| (below.as_ref(), leaf))
    }

    /// The leaf in which the bounds begin, and those that follow.
    fn leaves_from<'a>(&'a self, start: Bound<&'a [u8]>) -> impl Iterator<Item = (&'a [u8], &'a Leaf)> {
        let first = match start {
            Bound::Included(key) | Bound::Excluded(key) => self.leaf_of(key).map(|(below, _)| below),
            Bound::Unbounded => None,
        };
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        self.leaves.range::<[u8], _>((from, Bound::Unbounded)).map(|(below, leaf)| (below.as_ref(), leaf))
    }

    fn count_new(&mut self, key: &[u8], change: Change) {
        self.live += usize::from(!change.is_tombstone());
        self.bytes += key.len() as u64 + BYTES_PER_KEY + size_of::<Change>() as u64;
    }

    /// A leaf before all others. It lies under the empty key, which is at most any key.
    fn put_first(&mut self, leaf: Leaf) {
        let before = self.leaves.insert(Box::default(), leaf);
        debug_assert!(before.is_none(), "a key before which no leaf lies had one");
    }

    /// Joins a leaf of few keys with one of its neighbours, or drops it if it has none.
    fn join(&mut self, below: &[u8]) {
        let Some(few) = self.leaves.get(below).map(Leaf::len) else { return };
        if few == 0 {
            self.leaves.remove(below);
            return;
        }
        let mut before = self.leaves.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(below))).rev();
        let mut after = self.leaves.range::<[u8], _>((Bound::Excluded(below), Bound::Unbounded));
        let joins = |leaf: &Leaf| few + leaf.len() <= MAX_KEYS / 2;
        let before = before.next().filter(|(_, leaf)| joins(leaf)).map(|(before, _)| before.clone());
        let after = after.next().filter(|(_, leaf)| joins(leaf)).map(|(after, _)| after.clone());
        let (left, right): (Box<[u8]>, Box<[u8]>) = match (before, after) {
            (Some(before), _) => (before, below.into()),
            (None, Some(after)) => (below.into(), after),
            (None, None) => return,
        };
        let right = self.leaves.remove(&right);
        if let (Some(left), Some(right)) = (self.leaves.get_mut(&left), right) {
            left.append(right);
        }
    }
}

/// The leaf that has the key if one has it, with the key below it.
fn leaf_mut<'a>(leaves: &'a mut BTreeMap<Box<[u8]>, Leaf>, key: &[u8]) -> Option<(&'a [u8], &'a mut Leaf)> {
    leaves.range_mut::<[u8], _>(upto(key)).next_back().map(|(below, leaf)| (below.as_ref(), leaf))
}

const fn upto(key: &[u8]) -> KeyBounds<'_> {
    (Bound::Unbounded, Bound::Included(key))
}

/// Puts a key into a leaf, and returns the leaf that is to follow if it had to be split.
fn insert(leaf: &mut Leaf, at: usize, key: &[u8], history: KeyHistory) -> Option<Leaf> {
    if !leaf.is_full() {
        leaf.insert(at, key, history);
        return None;
    }
    // Keys often come in order: then the left leaf stays full and the right one begins with the new key.
    let middle = if at == leaf.len() { at } else { leaf.len() / 2 };
    let mut right = leaf.split_off(middle);
    if at < middle {
        leaf.insert(at, key, history);
    } else {
        right.insert(at - middle, key, history);
    }
    Some(right)
}

fn is_below(key: &[u8], start: Bound<&[u8]>) -> bool {
    match start {
        Bound::Included(start) => key < start,
        Bound::Excluded(start) => key <= start,
        Bound::Unbounded => false,
    }
}

fn is_within(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    }
}
