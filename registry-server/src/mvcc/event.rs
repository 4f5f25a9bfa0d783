//! What a write did, in the form in which watchers get it.

use bytes::Bytes;

use crate::types::Revision;

/// Put or delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A key was written.
    Put,
    /// A key was deleted.
    Delete,
}

/// One change of one key. Messages are kept encoded: they go into watch answers as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Put or delete.
    pub kind: EventKind,
    /// The key that changed.
    pub key: Bytes,
    /// The encoded `mvccpb.KeyValue` after the change; of a deletion only key and `mod_revision`.
    pub kv: Bytes,
    /// The encoded `mvccpb.KeyValue` before the change; none if the key was not there.
    pub prev_kv: Option<Bytes>,
}

/// All events of one revision, in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionEvents {
    /// The revision that every event of the batch has.
    pub revision: Revision,
    /// At least one event.
    pub events: Vec<Event>,
}

impl Event {
    /// The bytes of its key-values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kv.len() + self.prev_kv.as_ref().map_or(0, Bytes::len)
    }
}

impl RevisionEvents {
    /// The bytes of all key-values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.iter().map(Event::bytes).sum()
    }
}
