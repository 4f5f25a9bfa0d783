//! What the index knows of a key: at which revisions it changed, and where each state lies.

use smallvec::SmallVec;

use super::chunks::Address;
use crate::types::Revision;

/// How many changes [`KeyHistory::trim`] takes out at most, so that one key with a long history does not
/// hold writers up.
const TRIM_MAX: usize = 4096;

/// One change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) revision: Revision,
    pub(super) address: Address,
}

impl Change {
    pub(super) const fn is_tombstone(&self) -> bool {
        self.address.is_tombstone()
    }
}

/// The changes of a key, oldest kept to newest, never empty. Most keys of a registry are written once and
/// deleted once, so one change lies in the index itself.
#[derive(Debug)]
pub(super) struct KeyHistory(SmallVec<[Change; 1]>);

impl KeyHistory {
    pub(super) fn new(change: Change) -> Self {
        Self(SmallVec::from_buf([change]))
    }

    pub(super) fn newest(&self) -> Change {
        *self.0.last().expect("a history is never empty")
    }

    /// Whether the key is there at the newest revision.
    pub(super) fn is_live(&self) -> bool {
        self.0.last().is_some_and(|newest| !newest.is_tombstone())
    }

    /// The state of the key at a revision, a deletion included; none before its oldest change.
    pub(super) fn at(&self, revision: Revision) -> Option<Change> {
        let newest = self.newest();
        if newest.revision <= revision {
            return Some(newest);
        }
        let after = self.0.partition_point(|change| change.revision <= revision);
        after.checked_sub(1).map(|at| self.0[at])
    }

    /// The state of the key at a revision if it was there.
    pub(super) fn live_at(&self, revision: Revision) -> Option<Change> {
        self.at(revision).filter(|change| !change.is_tombstone())
    }

    /// Adds a change; one of the same revision gives way to it and is returned.
    pub(super) fn push(&mut self, change: Change) -> Option<Change> {
        let newest = self.0.last_mut().expect("a history is never empty");
        debug_assert!(newest.revision <= change.revision, "history goes forward");
        if newest.revision == change.revision {
            return Some(std::mem::replace(newest, change));
        }
        self.0.push(change);
        None
    }

    /// Whether a compaction at `compacted` leaves this change of the key in history.
    pub(super) fn keeps(&self, change: Change, compacted: Revision) -> bool {
        change.revision >= compacted
            || !change.is_tombstone() && self.at(compacted).is_some_and(|kept| kept.revision == change.revision)
    }

    /// Whether this change is one of the key's, still at the same place.
    pub(super) fn refers_to(&self, change: Change) -> bool {
        self.at(change.revision) == Some(change)
    }

    /// The change moved to another place.
    pub(super) fn relocate(&mut self, change: Change, to: Address) {
        let found = self.0.binary_search_by_key(&change.revision, |change| change.revision);
        if let Ok(at) = found {
            self.0[at].address = to;
        }
    }

    /// Takes out what a compaction at `compacted` leaves no more, the oldest [`TRIM_MAX`] of it. The history
    /// may then be empty, and the key must go.
    ///
    /// The sweep comes here for each change it passes, and each gives rise to at most two that go: the one
    /// before it, and itself if it is a deletion. So nothing is left behind.
    pub(super) fn trim(&mut self, compacted: Revision) -> SmallVec<[Change; 4]> {
        let upto = self.0.partition_point(|change| change.revision <= compacted);
        let keeps_last = upto > 0 && self.keeps(self.0[upto - 1], compacted);
        let dropped = if keeps_last { upto - 1 } else { upto };
        let dropped = self.0.drain(..dropped.min(TRIM_MAX)).collect();
        if self.0.spilled() && self.0.len() * 4 <= self.0.capacity() {
            self.0.shrink_to_fit();
        }
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes from a revision on, oldest first.
    pub(super) fn changes_from(&self, from: Revision) -> impl Iterator<Item = Change> {
        let before = self.0.partition_point(|change| change.revision < from);
        self.0[before..].iter().copied()
    }
}
