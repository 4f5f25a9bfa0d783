//! Every change ever made, in order. Compaction only moves a number.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use registry_proto::mvccpb::KeyValue;

/// The keys with their whole history.
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// The newest revision that is complete.
    pub(super) revision: i64,
    /// The oldest that can be read; -1 before the first compaction.
    pub(super) compacted: i64,
    /// The state of a key after each change, in the order of the changes. A deletion has version 0.
    changes: Vec<KeyValue>,
    /// Which of the changes are a key's.
    histories: BTreeMap<Bytes, Vec<usize>>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { revision: 1, compacted: -1, changes: Vec::new(), histories: BTreeMap::new() }
    }

    /// The revision as whoever is writing sees it: one more than the newest complete one as soon as
    /// something was changed.
    pub(super) fn seen(&self) -> i64 {
        self.changes.last().map_or(self.revision, |kv| kv.mod_revision.max(self.revision))
    }

    pub(super) fn put(&mut self, key: &Bytes, value: &Bytes, lease: i64) {
        let at = self.revision + 1;
        let (create_revision, version) = self.get(key).map_or((at, 0), |kv| (kv.create_revision, kv.version));
        let (key, value) = (key.clone(), value.clone());
        self.push(KeyValue { key, value, create_revision, mod_revision: at, version: version + 1, lease });
    }

    pub(super) fn delete(&mut self, key: &Bytes) {
        self.push(KeyValue { key: key.clone(), mod_revision: self.revision + 1, ..KeyValue::default() });
    }

    /// What was changed since the last call is one revision.
    pub(super) fn end(&mut self) {
        self.revision = self.seen();
    }

    /// The newest state of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.get_at(key, i64::MAX)
    }

    /// The state of a key at a revision.
    pub(super) fn get_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        self.state(self.histories.get(key)?, revision)
    }

    /// The newest state of every key that a range means, in the order of keys.
    pub(super) fn live(&self, key: &[u8], end: &[u8]) -> impl Iterator<Item = &KeyValue> {
        self.live_at(key, end, i64::MAX)
    }

    /// The state of every such key at a revision.
    pub(super) fn live_at(&self, key: &[u8], end: &[u8], revision: i64) -> impl Iterator<Item = &KeyValue> {
        self.meant(key, end).filter_map(move |(_, history)| self.state(history, revision))
    }

    /// All changes from a revision on.
    pub(super) fn changes_from(&self, revision: i64) -> &[KeyValue] {
        &self.changes[self.changes.partition_point(|kv| kv.mod_revision < revision)..]
    }

    /// The histories of the keys that a range means.
    fn meant(&self, key: &[u8], end: &[u8]) -> impl Iterator<Item = (&Bytes, &Vec<usize>)> {
        let upto = match end {
            [] => Bound::Included(key),
            [0] => Bound::Unbounded,
            end => Bound::Excluded(end),
        };
        let is_empty = matches!(upto, Bound::Excluded(end) if end <= key);
        let range = (!is_empty).then(|| self.histories.range::<[u8], _>((Bound::Included(key), upto)));
        range.into_iter().flatten()
    }

    /// How many changes there are.
    pub(super) fn mark(&self) -> usize {
        self.changes.len()
    }

    /// Forgets all changes after the first so many, and the revisions that they made.
    pub(super) fn undo_to(&mut self, mark: usize, revision: i64) {
        for kv in self.changes.drain(mark..).rev() {
            if let Some(history) = self.histories.get_mut(&kv.key) {
                history.pop();
            }
        }
        self.revision = revision;
    }

    fn state(&self, history: &[usize], revision: i64) -> Option<&KeyValue> {
        let upto = history.partition_point(|change| self.changes[*change].mod_revision <= revision);
        let kv = &self.changes[*history[..upto].last()?];
        (kv.version > 0).then_some(kv)
    }

    pub(super) fn push(&mut self, kv: KeyValue) {
        self.histories.entry(kv.key.clone()).or_default().push(self.changes.len());
        self.changes.push(kv);
    }
}

/// Whether a key is one that `key` and `range_end` of a request mean.
#[must_use]
pub fn is_in(candidate: &[u8], key: &[u8], end: &[u8]) -> bool {
    match end {
        [] => candidate == key,
        [0] => candidate >= key,
        end => candidate >= key && candidate < end,
    }
}
