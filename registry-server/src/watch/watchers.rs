//! The watchers of one stream, by serial and by the id that the client knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::counts::Counts;
use super::limits::Limits;
use super::members::Serial;
use super::range::Interest;
use super::request::{Create, Refusal};
use crate::types::Revision;

/// One watcher, as its stream knows it.
#[derive(Debug)]
pub(super) struct Watcher {
    /// As in answers.
    pub(super) id: i64,
    pub(super) interest: Arc<Interest>,
    /// The first revision it wanted when it was created.
    pub(super) start: Revision,
    /// It is fed from history, and not known to the hub.
    pub(super) behind: bool,
    pub(super) fragment: bool,
    /// Whether it has had no events since the last tick; none without `progress_notify`.
    pub(super) idle: Option<bool>,
}

/// All watchers of a stream, counted for as long as they are in here.
#[derive(Debug)]
pub(super) struct Watchers {
    counts: Arc<Counts>,
    by_serial: BTreeMap<Serial, Watcher>,
    serials: BTreeMap<i64, Serial>,
    /// Those that start after what had been written when they were created; looked at for progress only.
    future: BTreeSet<(Revision, Serial)>,
    next_id: i64,
    next_serial: u64,
    key_bytes: usize,
}

impl Watchers {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self {
            counts,
            by_serial: BTreeMap::new(),
            serials: BTreeMap::new(),
            future: BTreeSet::new(),
            next_id: 0,
            next_serial: 0,
            key_bytes: 0,
        }
    }

    /// Finds the id and serial for a new watcher; the watcher itself is then [`Self::insert`]ed.
    pub(super) fn reserve(&mut self, create: &Create, limits: &Limits) -> Result<(i64, Serial), Refusal> {
        if create.id.is_some_and(|id| self.serials.contains_key(&id)) {
            return Err(Refusal::DuplicateId);
        }
        let key_bytes = self.key_bytes + create.interest.range.key_bytes();
        if self.by_serial.len() >= limits.watchers || key_bytes > limits.key_bytes {
            return Err(Refusal::TooMany);
        }
        self.next_serial += 1;
        Ok((create.id.unwrap_or_else(|| self.free_id()), Serial(self.next_serial)))
    }

    /// Adds a watcher under the serial that was reserved for it.
    pub(super) fn insert(&mut self, serial: Serial, watcher: Watcher) {
        self.key_bytes += watcher.interest.range.key_bytes();
        self.serials.insert(watcher.id, serial);
        self.count(&watcher, 1);
        if !watcher.behind {
            self.future.insert((watcher.start, serial));
        }
        self.by_serial.insert(serial, watcher);
    }

    pub(super) fn remove(&mut self, serial: Serial) -> Option<Watcher> {
        let watcher = self.by_serial.remove(&serial)?;
        self.key_bytes -= watcher.interest.range.key_bytes();
        self.serials.remove(&watcher.id);
        self.count(&watcher, -1);
        self.future.remove(&(watcher.start, serial));
        Some(watcher)
    }

    /// Notes whether a watcher is fed from history; false if it is not here any more.
    pub(super) fn set_behind(&mut self, serial: Serial, behind: bool) -> bool {
        let Some(watcher) = self.by_serial.get_mut(&serial) else { return false };
        let was_behind = std::mem::replace(&mut watcher.behind, behind);
        self.counts.slow_watchers.add(i64::from(behind) - i64::from(was_behind));
        true
    }

    fn count(&self, watcher: &Watcher, change: i64) {
        self.counts.watchers.add(change);
        self.counts.slow_watchers.add(i64::from(watcher.behind) * change);
    }

    pub(super) fn serial(&self, id: i64) -> Option<Serial> {
        self.serials.get(&id).copied()
    }

    pub(super) fn get(&self, serial: Serial) -> Option<&Watcher> {
        self.by_serial.get(&serial)
    }

    pub(super) fn get_mut(&mut self, serial: Serial) -> Option<&mut Watcher> {
        self.by_serial.get_mut(&serial)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_serial.is_empty()
    }

    /// In the order of creation.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Serial, &mut Watcher)> {
        self.by_serial.iter_mut().map(|(serial, watcher)| (*serial, watcher))
    }

    /// What each watches.
    pub(super) fn interests(&self) -> Vec<Arc<Interest>> {
        self.by_serial.values().map(|watcher| Arc::clone(&watcher.interest)).collect()
    }

    /// The last revision that a watcher starts at.
    pub(super) fn last_start(&self) -> Option<Revision> {
        self.future.last().map(|(start, _)| *start)
    }

    /// As etcd numbers: upwards from 0, past those that the client took.
    fn free_id(&mut self) -> i64 {
        while self.serials.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for watcher in self.by_serial.values() {
            self.count(watcher, -1);
        }
    }
}
