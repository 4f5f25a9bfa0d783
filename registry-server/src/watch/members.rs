//! The watchers of one stream that share an interest, and from which revision on each wants events.
//!
//! Members are either live (they want every revision that comes) or waiting for a revision. A list of live
//! members is shared by all batches between two changes of the set, so that what waits for one list can be
//! merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::types::Revision;

/// A watcher within its stream. Never used again, unlike the ids that clients choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Serial(pub(super) u64);

/// The watchers that get a batch; equal lists are one allocation.
pub(super) type Serials = Arc<[Serial]>;

/// Live and waiting watchers.
#[derive(Debug, Default)]
pub(super) struct Members {
    live: BTreeSet<Serial>,
    /// The live set as it is given away; none when it changed since.
    shared: Option<Serials>,
    /// By the first revision that is wanted. No set is empty.
    waiting: BTreeMap<Revision, BTreeSet<Serial>>,
    /// Where in `waiting` a watcher is.
    wanted: BTreeMap<Serial, Revision>,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.waiting.is_empty()
    }

    /// Adds a watcher that wants `next` and what follows.
    pub(super) fn insert(&mut self, serial: Serial, next: Revision) {
        self.waiting.entry(next).or_default().insert(serial);
        self.wanted.insert(serial, next);
    }

    /// Removes a watcher, if it is here.
    pub(super) fn remove(&mut self, serial: Serial) {
        if self.live.remove(&serial) {
            self.shared = None;
        }
        let Some(next) = self.wanted.remove(&serial) else { return };
        let Some(set) = self.waiting.get_mut(&next) else { return };
        set.remove(&serial);
        if set.is_empty() {
            self.waiting.remove(&next);
        }
    }

    /// The watchers that want `revision`; from now on they are live.
    pub(super) fn wanting(&mut self, revision: Revision) -> Option<Serials> {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= revision) {
            for serial in entry.remove() {
                self.wanted.remove(&serial);
                self.live.insert(serial);
            }
            self.shared = None;
        }
        if self.live.is_empty() {
            return None;
        }
        let live = &self.live;
        Some(self.shared.get_or_insert_with(|| live.iter().copied().collect()).clone())
    }

    /// The first revision that a waiting watcher wants.
    pub(super) fn first_wanted(&self) -> Option<Revision> {
        self.waiting.first_key_value().map(|(revision, _)| *revision)
    }

    /// Takes the live watchers out.
    pub(super) fn take_live(&mut self) -> Vec<Serial> {
        self.shared = None;
        std::mem::take(&mut self.live).into_iter().collect()
    }

    /// Takes out those that wait for `up_to` or an earlier revision, with what they want.
    pub(super) fn take_waiting(&mut self, up_to: Revision) -> Vec<(Serial, Revision)> {
        let later = self.waiting.split_off(&up_to.next());
        let taken = std::mem::replace(&mut self.waiting, later);
        let taken: Vec<_> =
            taken.into_iter().flat_map(|(next, set)| set.into_iter().map(move |serial| (serial, next))).collect();
        for (serial, _) in &taken {
            self.wanted.remove(serial);
        }
        taken
    }

    /// Takes every watcher out with what it wants, which is `least` or more.
    pub(super) fn drain(&mut self, least: Revision) -> Vec<(Serial, Revision)> {
        self.waiting.clear();
        let waiting = std::mem::take(&mut self.wanted).into_iter().map(|(serial, next)| (serial, next.max(least)));
        self.take_live().into_iter().map(|serial| (serial, least)).chain(waiting).collect()
    }
}
