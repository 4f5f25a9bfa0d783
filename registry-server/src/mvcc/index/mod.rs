//! Keys in order, each with its history: a tree of two levels of nodes of some hundred entries, below an ordinary map.
//!
//! Beside lookups it counts the keys of a range without visiting them, since each leaf knows how many of its
//! keys are there. A lookup costs a search in the small map and in a directory, which stay in the processor's
//! caches, and one in a leaf.

mod node;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use self::node::{FEW_KEYS, Live, MAX_KEYS, Node, common_bytes};
use super::chunks::Address;
use super::history::{Change, KeyHistory};
use super::key_range::KeyBounds;
use crate::types::Revision;

/// What a key costs beside its own bytes and its changes: an entry of a leaf, of which some room is unused.
const BYTES_PER_KEY: u64 = 32;

type Leaf = Node<KeyHistory>;

/// Leaves, each under a key that is at most its first one and above the last one of the leaf before. It is as short as
/// that lets it be.
type Directory = Node<Leaf>;

/// What a leaf or a directory lies under: a directory under its first leaf's. Mostly it lies in the map itself, where a
/// search finds it without going elsewhere.
type Below = SmallVec<[u8; 40]>;

/// The ordered index.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None is empty, nor is a leaf in them.
    directories: BTreeMap<Below, Directory>,
    live: usize,
    bytes: u64,
}

impl Live for KeyHistory {
    fn live(&self) -> usize {
        usize::from(self.is_live())
    }
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
        let (_, directory) = self.directories.range::<[u8], _>(upto(key)).next_back()?;
        let leaf = directory.value(leaf_in(directory, key));
        leaf.search(key).ok().map(|at| leaf.value(at))
    }

    /// Adds a change to a key's history, made from its newest one; one of the same revision gives way to it and
    /// is returned.
    pub(super) fn push(&mut self, key: &[u8], make: impl FnOnce(Option<Change>) -> Change) -> Option<Change> {
        let Some(directory) = directory_mut(&mut self.directories, key) else {
            let change = make(None);
            self.count_new(key, change);
            self.put_first(key, change);
            return None;
        };
        let before = directory.live();
        let at = leaf_in(directory, key);
        let pushed = directory.change(at, |leaf| push(leaf, key, make));
        match pushed {
            Pushed::Known(replaced) => {
                self.live = self.live + directory.live() - before;
                self.bytes += if replaced.is_some() { 0 } else { size_of::<Change>() as u64 };
                replaced
            }
            Pushed::New(change, right) => {
                let beyond = right.and_then(|(below, leaf)| insert(directory, at + 1, &below, leaf));
                if let Some(beyond) = beyond {
                    self.directories.insert(Below::from_slice(beyond.key(0)), beyond);
                }
                self.count_new(key, change);
                None
            }
        }
    }

    /// Takes out of a key's history what a compaction at `compacted` leaves no more, and the key if that is all.
    pub(super) fn trim(&mut self, key: &[u8], compacted: Revision) -> SmallVec<[Change; 4]> {
        let Some(directory) = directory_mut(&mut self.directories, key) else { return SmallVec::new() };
        let before = directory.live();
        let place = leaf_in(directory, key);
        let trimmed = directory.change(place, |leaf| {
            let at = leaf.search(key).ok()?;
            let dropped = leaf.change(at, |history| history.trim(compacted));
            let is_gone = leaf.value(at).is_empty();
            if is_gone {
                leaf.remove(at);
            }
            Some((dropped, is_gone))
        });
        let Some((dropped, is_gone)) = trimmed else { return SmallVec::new() };
        self.live = self.live + directory.live() - before;
        self.bytes -= (dropped.len() * size_of::<Change>()) as u64;
        if is_gone {
            self.bytes -= key.len() as u64 + BYTES_PER_KEY;
            self.tidy(key, place);
        }
        dropped
    }

    /// A change of a key moves to another place, unless it is not the key's any more.
    pub(super) fn relocate(&mut self, key: &[u8], change: Change, to: impl FnOnce() -> Address) {
        let Some(directory) = directory_mut(&mut self.directories, key) else { return };
        directory.change(leaf_in(directory, key), |leaf| {
            let Ok(at) = leaf.search(key) else { return };
            leaf.change(at, |history| {
                if history.refers_to(change) {
                    history.relocate(change, to());
                }
            });
        });
    }

    /// All keys within the bounds, in order.
    pub(super) fn range<'a>(&'a self, bounds: KeyBounds<'a>) -> impl Iterator<Item = (&'a [u8], &'a KeyHistory)> {
        let (start, end) = bounds;
        let leaves = self.leaves_from(start).take_while(move |(below, _)| is_within(below, end));
        leaves.flat_map(move |(_, leaf)| {
            let from = begin_of(leaf, start);
            leaf.part(from..end_of(leaf, end).max(from))
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
            let from = if first { begin_of(leaf, start) } else { 0 };
            let to = end_of(leaf, end);
            count += leaf.part(from..to.max(from)).filter(|(_, history)| history.is_live()).count();
            first = false;
            if to < leaf.len() {
                break;
            }
        }
        count
    }

    /// The leaf in which the bounds begin, and those that follow.
    fn leaves_from<'a>(&'a self, start: Bound<&'a [u8]>) -> impl Iterator<Item = (&'a [u8], &'a Leaf)> {
        let key = match start {
            Bound::Included(key) | Bound::Excluded(key) => key,
            Bound::Unbounded => &[],
        };
        let first = self.directories.range::<[u8], _>(upto(key)).next_back();
        let from = first.map_or(Bound::Unbounded, |(below, _)| Bound::Included(below.as_slice()));
        let directories = self.directories.range::<[u8], _>((from, Bound::Unbounded));
        directories.flat_map(move |(_, directory)| directory.part(leaf_in(directory, key)..directory.len()))
    }

    fn count_new(&mut self, key: &[u8], change: Change) {
        self.live += usize::from(!change.is_tombstone());
        self.bytes += key.len() as u64 + BYTES_PER_KEY + size_of::<Change>() as u64;
    }

    /// A key before all others, in a directory and a leaf of its own. They lie under the empty key, which is at
    /// most any key.
    fn put_first(&mut self, key: &[u8], change: Change) {
        let (mut directory, mut leaf) = (Directory::default(), Leaf::default());
        leaf.insert(0, key, KeyHistory::new(change));
        directory.insert(0, &[], leaf);
        let before = self.directories.insert(Below::new(), directory);
        debug_assert!(before.is_none(), "a key before which no leaf lies had one");
    }

    /// Joins a leaf that lost a key with one of its neighbours if it has few left, or drops it if it has none, and
    /// does the same with its directory.
    fn tidy(&mut self, key: &[u8], place: usize) {
        let Some((below, directory)) = self.directories.range_mut::<[u8], _>(upto(key)).next_back() else { return };
        let few = directory.value(place).len();
        let joins = |other: usize| directory.value(other).len() + few <= MAX_KEYS / 2;
        if few >= FEW_KEYS {
            return;
        }
        if few == 0 && directory.len() == 1 {
            let below = below.clone();
            self.directories.remove(&below);
            return;
        }
        if few == 0 && place == 0 || place + 1 < directory.len() && joins(place + 1) {
            let right = directory.remove(place + 1);
            directory.change(place, |leaf| leaf.append(right));
        } else if few == 0 || place > 0 && joins(place - 1) {
            let right = directory.remove(place);
            directory.change(place - 1, |leaf| leaf.append(right));
        }
        if directory.len() < FEW_KEYS {
            let below = below.clone();
            self.join_directory(&below);
        }
    }

    fn join_directory(&mut self, below: &[u8]) {
        let Some(few) = self.directories.get(below).map(Directory::len) else { return };
        let joins = |directory: &Directory| few + directory.len() <= MAX_KEYS / 2;
        let mut before = self.directories.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(below))).rev();
        let mut after = self.directories.range::<[u8], _>((Bound::Excluded(below), Bound::Unbounded));
        let before = before.next().filter(|(_, directory)| joins(directory)).map(|(before, _)| before.clone());
        let after = after.next().filter(|(_, directory)| joins(directory)).map(|(after, _)| after.clone());
        let (left, right) = match (before, after) {
            (Some(before), _) => (before, Below::from_slice(below)),
            (None, Some(after)) => (Below::from_slice(below), after),
            (None, None) => return,
        };
        let right = self.directories.remove(&right);
        if let (Some(left), Some(right)) = (self.directories.get_mut(&left), right) {
            left.append(right);
        }
    }
}

/// What became of a change.
enum Pushed {
    /// It belongs to a key that was there, and may have taken another's place.
    Known(Option<Change>),
    /// It is a key's first. Its leaf had to be split: what follows now, and under which key.
    New(Change, Option<(Below, Leaf)>),
}

fn push(leaf: &mut Leaf, key: &[u8], make: impl FnOnce(Option<Change>) -> Change) -> Pushed {
    match leaf.search(key) {
        Ok(at) => Pushed::Known(leaf.change(at, |history| history.push(make(Some(history.newest()))))),
        Err(at) => {
            let change = make(None);
            let right = insert(leaf, at, key, KeyHistory::new(change));
            Pushed::New(change, right.map(|right| (between(leaf.key(leaf.len() - 1), right.key(0)), right)))
        }
    }
}

/// The directory with the leaf that has the key if one has it.
fn directory_mut<'a>(directories: &'a mut BTreeMap<Below, Directory>, key: &[u8]) -> Option<&'a mut Directory> {
    directories.range_mut::<[u8], _>(upto(key)).next_back().map(|(_, directory)| directory)
}

/// Which leaf of a directory has the key if one has it: the last that lies under no greater one.
fn leaf_in(directory: &Directory, key: &[u8]) -> usize {
    directory.search(key).unwrap_or_else(|after| after.saturating_sub(1))
}

/// The shortest that is above one key and at most another, greater one.
fn between(left: &[u8], right: &[u8]) -> Below {
    Below::from_slice(&right[..=common_bytes(left, right)])
}

const fn upto(key: &[u8]) -> KeyBounds<'_> {
    (Bound::Unbounded, Bound::Included(key))
}

/// Puts a key into a node, and returns the node that is to follow if it had to be split.
fn insert<V: Live>(node: &mut Node<V>, at: usize, key: &[u8], value: V) -> Option<Node<V>> {
    if !node.is_full() {
        node.insert(at, key, value);
        return None;
    }
    // Keys often come in order: then the left node stays full and the right one begins with the new key.
    let middle = if at == node.len() { at } else { node.len() / 2 };
    let mut right = node.split_off(middle);
    if at < middle {
        node.insert(at, key, value);
    } else {
        right.insert(at - middle, key, value);
    }
    Some(right)
}

/// How many keys of a leaf lie before the bound.
fn begin_of(leaf: &Leaf, start: Bound<&[u8]>) -> usize {
    match start {
        Bound::Included(start) => leaf.search(start).unwrap_or_else(|at| at),
        Bound::Excluded(start) => leaf.search(start).map_or_else(|at| at, |at| at + 1),
        Bound::Unbounded => 0,
    }
}

/// How many keys of a leaf lie within the bound.
fn end_of(leaf: &Leaf, end: Bound<&[u8]>) -> usize {
    match end {
        Bound::Included(end) => leaf.search(end).map_or_else(|at| at, |at| at + 1),
        Bound::Excluded(end) => leaf.search(end).unwrap_or_else(|at| at),
        Bound::Unbounded => leaf.len(),
    }
}

fn is_within(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    }
}
