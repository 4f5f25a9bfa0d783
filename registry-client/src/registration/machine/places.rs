//! The keys of a registration: what stands under each, as far as is known, and which are to be put.
//!
//! What always holds: a place is current if its key stands under the lease that is held; a place that is
//! not, or whose newest value is not stored, is either due or set aside, and no other is but for doubts. Every change
//! costs the same however many places there are, except what concerns all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::{Keys, LeaseId, Moment};
use crate::instance::Instance;

/// What stands under a key, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Absent,
    Ours { mod_revision: i64, lease: LeaseId },
    Foreign { mod_revision: i64 },
}

/// One key and the instance that is to stand under it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) keys: Keys,
    pub(super) instance: Arc<Instance>,
    pub(super) key: Key,
    /// How often what is to be stored has changed, and up to which of these it is stored.
    version: u64,
    stored_version: u64,
    /// The number of the newest update that is stored, or had nothing to do with this place.
    pub(super) stored: u64,
    /// The newest revision at which the key was seen; it falls when an answer shows that the registry was restored.
    pub(super) seen_revision: i64,
    pub(super) tombstone: bool,
    current: bool,
}

impl Place {
    /// The key as it is told to people.
    pub(super) fn key_text(&self) -> String {
        String::from_utf8_lossy(&self.keys.instance).into_owned()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// All places of a registration, by key.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    due: BTreeSet<usize>,
    /// A stranger or a tombstone is there: not to be tried before `aside_until`.
    aside: BTreeSet<usize>,
    aside_until: Moment,
    /// How many are not current.
    missing: usize,
    /// Where the next batch begins, so that one that fails again and again holds up no other.
    cursor: usize,
}

impl Places {
    pub(super) fn new(instances: Vec<(Keys, Arc<Instance>)>) -> Self {
        let place = |(keys, instance)| Place {
            keys,
            instance,
            key: Key::Absent,
            version: 1,
            stored_version: 0,
            stored: 0,
            seen_revision: 0,
            tombstone: false,
            current: false,
        };
        let all: Vec<_> = instances.into_iter().map(place).collect();
        let (due, missing) = ((0..all.len()).collect(), all.len());
        Self { all, due, aside: BTreeSet::new(), aside_until: Moment::ZERO, missing, cursor: 0 }
    }

    pub(super) fn get(&self, place: usize) -> &Place {
        &self.all[place]
    }

    pub(super) fn get_mut(&mut self, place: usize) -> &mut Place {
        &mut self.all[place]
    }

    /// The places to put, from the cursor on, each with what it is asked for.
    pub(super) fn due(&self) -> impl Iterator<Item = usize> {
        self.due.range(self.cursor..).chain(self.due.range(..self.cursor)).copied()
    }

    pub(super) fn is_any_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(super) fn is_any_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Every key stands under the lease that is held.
    pub(super) fn are_current(&self) -> bool {
        self.missing == 0
    }

    /// The next batch begins behind this place.
    pub(super) fn go_on_after(&mut self, place: usize) {
        self.cursor = place + 1;
    }

    /// The number of the newest update up to which all are stored; `wanted` is the newest that there is.
    pub(super) fn stored(&self, wanted: u64) -> u64 {
        let open = self.due.iter().chain(&self.aside);
        open.map(|place| self.all[*place].stored).min().unwrap_or(wanted)
    }

    /// What is to be stored there has changed.
    pub(super) fn change(&mut self, place: usize) {
        self.all[place].version += 1;
        self.bring_back(place);
    }

    pub(super) fn change_all(&mut self) {
        (0..self.all.len()).for_each(|place| self.change(place));
    }

    /// A value was stored: of that version, in a put that holds the updates up to that number.
    pub(super) fn note_stored(&mut self, place: usize, version: u64, update: u64) {
        let found = &mut self.all[place];
        found.stored_version = found.stored_version.max(version);
        found.stored = found.stored.max(update);
    }

    /// What had been stored is not there any more, though the key may stand.
    pub(super) fn note_lost(&mut self, place: usize) {
        self.all[place].stored_version = 0;
    }

    /// What stands there now; `live` is the lease that is held.
    pub(super) fn set_key(&mut self, place: usize, key: Key, live: Option<LeaseId>) {
        let found = &mut self.all[place];
        let current = matches!(key, Key::Ours { lease, .. } if Some(lease) == live);
        match (found.current, current) {
            (true, false) => self.missing += 1,
            (false, true) => self.missing -= 1,
            _ => {}
        }
        (found.key, found.current) = (key, current);
        if current && found.stored_version == found.version {
            self.due.remove(&place);
            self.aside.remove(&place);
        } else if !self.aside.contains(&place) {
            self.due.insert(place);
        }
    }

    /// Nothing can be done there for now.
    pub(super) fn set_aside(&mut self, place: usize, until: Moment) {
        self.aside_until = if self.aside.is_empty() { until } else { until.min(self.aside_until) };
        self.due.remove(&place);
        self.aside.insert(place);
    }

    /// What stands there may not be what we know: the next put finds out.
    pub(super) fn doubt(&mut self, place: usize) {
        if !self.aside.contains(&place) {
            self.due.insert(place);
        }
    }

    /// It is due, and not set aside.
    pub(super) fn is_to_be_put(&self, place: usize) -> bool {
        self.due.contains(&place)
    }

    /// It may be tried again at once.
    pub(super) fn bring_back(&mut self, place: usize) {
        self.aside.remove(&place);
        self.due.insert(place);
    }

    /// Brings back what was set aside, if its time has come.
    pub(super) fn bring_back_due(&mut self, now: Moment) {
        if now >= self.aside_until {
            self.due.append(&mut self.aside);
        }
    }

    /// When what was set aside is to be looked at again.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.is_any_aside().then_some(self.aside_until)
    }

    /// The lease is gone, and with it all keys. The registry may be another one now, with lower revisions.
    pub(super) fn lose_all(&mut self) {
        for place in &mut self.all {
            (place.key, place.current, place.seen_revision) = (Key::Absent, false, 0);
        }
        self.missing = self.all.len();
        self.aside.clear();
        self.due = (0..self.all.len()).collect();
    }
}
