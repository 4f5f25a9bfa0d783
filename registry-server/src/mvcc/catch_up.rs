//! Events out of history, for a watcher that starts in the past or has fallen behind.

use bytes::Bytes;

use super::budget::Budget;
use super::chunks::{Layout, Place};
use super::event::{Event, EventKind, RevisionEvents};
use super::history::Change;
use super::record::{Record, key_in};
use super::{MvccError, Store};
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// A read of history that goes on from slice to slice, forward. It pins nothing: what is compacted before it is
/// read is gone.
#[derive(Debug, Clone)]
pub struct EventCursor {
    next: Revision,
    prev_kv: bool,
    /// Where the records of `next` begin, so that a slice need not look for them in a chunk that the one before
    /// has read half of. Holds for one layout.
    place: Option<(Layout, Place)>,
}

impl EventCursor {
    /// From a revision on. Without `prev_kv` the events have none, and most are read without a look at the index.
    #[must_use]
    pub const fn new(from: Revision, prev_kv: bool) -> Self {
        Self { next: from, prev_kv, place: None }
    }
}

impl Store {
    /// What happened next, whole revisions each, until `max_bytes` bytes of key-values or 16,384 events are
    /// reached; at least one revision if there is one, none if the cursor's has not happened yet. The events are
    /// those that the writes gave, except that `prev_kv` is missing where the revision before the event is
    /// compacted.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if the cursor stands before the compacted revision.
    pub fn events(&self, cursor: &mut EventCursor, max_bytes: usize) -> Result<Vec<RevisionEvents>, MvccError> {
        self.events_within(cursor, Budget { bytes: max_bytes, ..Budget::SLICE })
    }

    /// The budget bounds the work, because nothing from the compacted revision on is garbage: all that is
    /// walked is told, but for the records before the cursor's first in the chunk where it begins.
    pub(super) fn events_within(
        &self,
        cursor: &mut EventCursor,
        mut budget: Budget,
    ) -> Result<Vec<RevisionEvents>, MvccError> {
        let from = cursor.next;
        if from < self.compacted {
            return Err(MvccError::Compacted);
        }
        let layout = self.chunks.layout();
        let known = cursor.place.filter(|(of, _)| *of == layout).map(|(_, place)| place);
        let begin = known.unwrap_or_else(|| Place::of_chunk(self.chunks.first_chunk_of(from)));
        let mut revisions: Vec<RevisionEvents> = Vec::new();
        (cursor.next, cursor.place) = (from.max(self.revision.next()), Some((layout, self.chunks.end())));
        let records = self.chunks.records_from(begin);
        for (address, record) in records.skip_while(|(_, record)| record.mod_revision < from) {
            let revision = record.mod_revision;
            let is_new = revisions.last().is_none_or(|last| last.revision != revision);
            let may_end = is_new || planted(Bug::SliceEndsInRevision);
            if may_end && !revisions.is_empty() && budget.is_spent() {
                (cursor.next, cursor.place) = (revision, Some((layout, address.place())));
                break;
            }
            let change = Change { revision, address };
            let Some(event) = self.event_of(change, record, cursor.prev_kv) else { continue };
            budget.spend(event.bytes());
            match revisions.last_mut() {
                Some(last) if !is_new => last.events.push(event),
                _ => revisions.push(RevisionEvents { revision, events: vec![event] }),
            }
        }
        Ok(revisions)
    }

    /// The events of a revision whose first record is at `place`, and which no other follows.
    pub(super) fn events_at(&self, place: Place, revision: Revision) -> Vec<Event> {
        let records = self.chunks.records_from(place);
        records.filter_map(|(address, record)| self.event_of(Change { revision, address }, record, true)).collect()
    }

    /// The event of a record; none if the key's history does not have it any more.
    fn event_of(&self, change: Change, record: Record<'_>, with_prev: bool) -> Option<Event> {
        let mut prev = None;
        // A search for each record would take most of the time, and where none is garbage, history has them all.
        if with_prev || !self.chunks.is_whole(change.address.chunk()) {
            let history = self.index.get(record.key).filter(|history| history.refers_to(change))?;
            let back = if planted(Bug::PrevKvTooOld) { 2 } else { 1 };
            let before = Revision(change.revision.0 - back);
            // Whether an older state is still held depends on how far the sweep has come; what is told must not.
            prev = history.live_at(before).filter(|_| with_prev && before >= self.compacted);
        }
        let kv = record.to_body();
        Some(Event {
            kind: if record.is_tombstone() { EventKind::Delete } else { EventKind::Put },
            key: key_in(&kv),
            kv,
            prev_kv: prev.map(|prev| Bytes::copy_from_slice(self.chunks.body(prev.address))),
        })
    }
}
