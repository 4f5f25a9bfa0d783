//! Events out of history, for a watcher that starts in the past or has fallen behind.

use bytes::Bytes;

use super::budget::Budget;
use super::chunks::Place;
use super::event::{Event, EventKind, RevisionEvents};
use super::history::Change;
use super::record::{Record, key_in};
use super::{MvccError, Store};
use crate::types::Revision;

impl Store {
    /// What happened from a revision on, whole revisions each, until `max_bytes` bytes of key-values or
    /// 16,384 events are reached; at least one revision if there is one, none if `from` has not happened yet.
    /// The events are those that the writes gave, except that `prev_kv` is missing where the revision before
    /// the event is compacted.
    ///
    /// # Errors
    /// [`MvccError::Compacted`] if `from` lies before the compacted revision.
    pub fn events(&self, from: Revision, max_bytes: usize) -> Result<Vec<RevisionEvents>, MvccError> {
        self.events_within(from, Budget { bytes: max_bytes, ..Budget::SLICE })
    }

    /// The budget bounds the work, because nothing from the compacted revision on is garbage: all that is
    /// walked is told, but for the records before `from` in the chunk where it begins.
    pub(super) fn events_within(&self, from: Revision, mut budget: Budget) -> Result<Vec<RevisionEvents>, MvccError> {
        if from < self.compacted {
            return Err(MvccError::Compacted);
        }
        let mut revisions: Vec<RevisionEvents> = Vec::new();
        let records = self.chunks.records_from(Place::of_chunk(self.chunks.first_chunk_of(from)));
        for (address, record) in records.skip_while(|(_, record)| record.mod_revision < from) {
            let revision = record.mod_revision;
            let Some(event) = self.event_of(Change { revision, address }, record) else { continue };
            let size = event.bytes();
            match revisions.last_mut() {
                Some(last) if last.revision == revision => last.events.push(event),
                Some(_) if budget.is_spent() => break,
                _ => revisions.push(RevisionEvents { revision, events: vec![event] }),
            }
            budget.spend(size);
        }
        Ok(revisions)
    }

    /// The events of a revision whose first record is at `place`, and which no other follows.
    pub(super) fn events_at(&self, place: Place, revision: Revision) -> Vec<Event> {
        let records = self.chunks.records_from(place);
        records.filter_map(|(address, record)| self.event_of(Change { revision, address }, record)).collect()
    }

    /// The event of a record; none if the key's history does not have it any more.
    fn event_of(&self, change: Change, record: Record<'_>) -> Option<Event> {
        let history = self.index.get(record.key).filter(|history| history.refers_to(change))?;
        let before = Revision(change.revision.0 - 1);
        // Whether an older state is still held depends on how far the sweep has come; what is told must not.
        let prev = if before < self.compacted { None } else { history.live_at(before) };
        let kv = record.to_body();
        Some(Event {
            kind: if record.is_tombstone() { EventKind::Delete } else { EventKind::Put },
            key: key_in(&kv),
            kv,
            prev_kv: prev.map(|prev| Bytes::copy_from_slice(self.chunks.body(prev.address))),
        })
    }
}
