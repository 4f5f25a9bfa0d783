//! The watchers of one stream that are fed from history, in slices.
//!
//! All of them advance together: a slice is read once for all. It runs in the stream's task, when nothing
//! else waits to be sent, so what it makes is bounded by one slice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::encode::BatchEncoder;
use super::groups::Groups;
use super::history::History;
use super::limits::Limits;
use super::members::{Members, Serial};
use super::queue::Item;
use super::range::Interest;
use crate::mvcc::RevisionEvents;
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// Watchers that are behind.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    groups: Groups<Members>,
    /// What is read next. All that the watchers want below it they have got.
    position: Revision,
}

/// Watchers, each with the first revision it wants.
pub(super) type Wanted = Vec<(Serial, Revision)>;

/// One step of catch-up.
#[derive(Debug)]
pub(super) enum Slice {
    /// Events, if any concern these watchers.
    Events {
        /// For whom, in the order of revisions.
        items: VecDeque<Item>,
        /// There was no more, a moment ago.
        reached_end: bool,
    },
    /// These watchers cannot be served any more, and are out.
    Compacted {
        /// Who.
        serials: Vec<Serial>,
        /// What they are told.
        revision: Revision,
    },
}

impl CatchUp {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn position(&self) -> Revision {
        self.position
    }

    /// Adds a watcher that wants `next` and what follows.
    pub(super) fn add(&mut self, interest: &Arc<Interest>, serial: Serial, next: Revision) {
        if self.groups.is_empty() {
            self.position = next;
        } else if next < self.position {
            self.rewind(next);
        }
        self.groups.entry(interest).insert(serial, next);
    }

    /// Removes a watcher.
    pub(super) fn remove(&mut self, interest: &Interest, serial: Serial) {
        self.groups.change(interest, |members| {
            members.remove(serial);
            members.is_empty()
        });
    }

    /// Takes out the watchers of one interest.
    pub(super) fn take_group(&mut self) -> Option<(Arc<Interest>, Wanted)> {
        let mut group = self.groups.pop()?;
        let watchers = group.members.drain(self.position);
        Some((group.interest, watchers))
    }

    /// Reads a slice of history.
    pub(super) fn slice(&mut self, history: &dyn History, limits: &Limits) -> Slice {
        // Before the events, so that what is written meanwhile is not taken for missing.
        let current = history.revision();
        let prev_kv = self.groups.iter().any(|group| group.interest.options.prev_kv);
        match history.events(self.position, prev_kv, limits.slice_bytes) {
            Err(compacted) if planted(Bug::CompactedSkipped) => {
                self.position = compacted.0;
                Slice::Events { items: VecDeque::new(), reached_end: false }
            }
            Err(compacted) => Slice::Compacted { serials: self.take_unservable(), revision: compacted.0 },
            Ok(batches) => {
                if batches.is_empty() {
                    self.position = self.position.max(current.next());
                }
                let items = self.items(&batches, limits);
                Slice::Events { items, reached_end: self.position > current }
            }
        }
    }

    fn items(&mut self, batches: &[RevisionEvents], limits: &Limits) -> VecDeque<Item> {
        let mut items = VecDeque::new();
        let mut bytes = 0;
        // The last item of each group: after it, its watchers are current up to the end of the slice.
        let mut last_of_group = BTreeMap::new();
        let first = self.position;
        for batch in batches.iter().filter(|batch| batch.revision >= first) {
            let mut encoder = BatchEncoder::new(batch);
            for (id, matched) in self.groups.matching(batch) {
                let Some(group) = self.groups.get_mut(id) else { continue };
                let Some(serials) = group.members.wanting(batch.revision) else { continue };
                let events = encoder.records(&matched, group.interest.options.prev_kv);
                bytes += events.len();
                last_of_group.insert(id, items.len());
                items.push_back(Item { serials, revision: batch.revision, events, count: matched.len() as u64 });
            }
            self.position = batch.revision.next();
            if items.len() >= limits.slice_items || bytes >= limits.queue_bytes {
                break;
            }
        }
        for index in last_of_group.into_values() {
            items[index].revision = Revision(self.position.0 - 1);
        }
        items
    }

    /// Those that want the position, which is gone; goes on at what the others want.
    fn take_unservable(&mut self) -> Vec<Serial> {
        let mut serials = Vec::new();
        for group in self.groups.iter_mut() {
            if group.members.wanting(self.position).is_some() {
                serials.extend(group.members.take_live());
            }
        }
        self.groups.prune(Members::is_empty);
        if let Some(next) = self.groups.iter_mut().filter_map(|group| group.members.first_wanted()).min() {
            self.position = next;
        }
        serials
    }

    /// Goes back to `position`, where those who have got more wait for where they were.
    fn rewind(&mut self, position: Revision) {
        for group in self.groups.iter_mut() {
            for serial in group.members.take_live() {
                group.members.insert(serial, self.position);
            }
        }
        self.position = position;
    }
}
