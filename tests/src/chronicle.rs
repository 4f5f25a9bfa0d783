//! The history as watches tell it: every revision from the first on, though the server compacts its own.
//!
//! What always holds: revisions follow each other without a gap; what was read once is read again alike, as
//! far as it is not compacted; the keys as ranges show them are what the events add up to.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::mvccpb::event::EventType;
use registry_proto::mvccpb::{Event, KeyValue};

use crate::client::Client;
use crate::requests::everything;
use crate::watching::Watching;

/// A new store's revision.
const FIRST_REVISION: i64 = 1;

/// All events of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Which one.
    pub number: i64,
    /// In their order.
    pub events: Vec<Event>,
}

/// The history so far, and the keys it leads to.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// From the one after [`FIRST_REVISION`] on.
    revisions: Vec<Revision>,
    keys: BTreeMap<Bytes, KeyValue>,
}

/// A watcher of all keys from a revision on.
#[must_use]
pub fn watch_everything(start_revision: i64) -> WatchCreateRequest {
    let all = Bytes::from_static(b"\0");
    WatchCreateRequest { key: all.clone(), range_end: all, start_revision, ..WatchCreateRequest::default() }
}

impl Chronicle {
    /// The last revision that is known.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.revisions.last().map_or(FIRST_REVISION, |last| last.number)
    }

    /// The known events from one revision to another, both included.
    pub fn between(&self, from: i64, to: i64) -> impl Iterator<Item = &Event> {
        let at = |revision: i64| usize::try_from(revision - FIRST_REVISION - 1).unwrap_or(0);
        let end = (at(to) + usize::from(to > FIRST_REVISION)).min(self.revisions.len());
        self.revisions[at(from).min(end)..end].iter().flat_map(|revision| &revision.events)
    }

    /// Watches all that the server still has, compares what is known of it, and returns what is new.
    ///
    /// # Panics
    /// When the history has changed or has a gap.
    pub async fn read_on(&self, client: &Client, compacted: i64) -> Vec<Revision> {
        let head = client.revision().await;
        assert!(head >= self.head(), "the revision went back from {} to {head}", self.head());
        let from = compacted.max(FIRST_REVISION) + 1;
        let found = history(client, from, head).await;
        let numbers: Vec<_> = found.iter().map(|revision| revision.number).collect();
        assert_eq!(numbers, (from..=head).collect::<Vec<_>>(), "every revision is told once and in order");
        let (old, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|revision| revision.number <= self.head());
        let known: Vec<_> = self.between(from, self.head()).collect();
        assert_eq!(old.iter().flat_map(|revision| &revision.events).collect::<Vec<_>>(), known, "history changed");
        new
    }

    /// Takes over a new revision: each of its events must continue its key's history.
    ///
    /// # Panics
    /// When one does not.
    pub fn add(&mut self, revision: Revision) {
        assert_eq!(revision.number, self.head() + 1);
        for event in &revision.events {
            let kv = event.kv.clone().expect("an event has a key");
            assert_eq!(kv.mod_revision, revision.number, "{kv:?}");
            let before = self.keys.remove(&kv.key);
            if event.r#type() == EventType::Put {
                let (create, version) =
                    before.map_or((revision.number, 0), |before| (before.create_revision, before.version));
                assert_eq!((kv.create_revision, kv.version), (create, version + 1), "{kv:?}");
                self.keys.insert(kv.key.clone(), kv);
            } else {
                assert!(before.is_some(), "a key was deleted that was not there: {kv:?}");
            }
        }
        self.revisions.push(revision);
    }

    /// What ranges show must be what the events add up to.
    ///
    /// # Panics
    /// When it is not.
    pub async fn compare_keys(&self, client: &Client) {
        let request = registry_proto::etcdserverpb::RangeRequest { revision: self.head(), ..everything() };
        let found = client.range(request).await;
        assert_eq!(found, self.keys.values().cloned().collect::<Vec<_>>(), "keys are not what the history says");
    }

    /// A key as it was at a known revision.
    #[must_use]
    pub fn key_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let before = self.revisions.partition_point(|known| known.number <= revision);
        let mut events = self.revisions[..before].iter().rev().flat_map(|known| known.events.iter().rev());
        let last = events.find(|event| event.kv.as_ref().is_some_and(|kv| kv.key == key))?;
        if last.r#type() == EventType::Put { last.kv.as_ref() } else { None }
    }

    /// A key as it is now.
    #[must_use]
    pub fn key(&self, key: &[u8]) -> Option<&KeyValue> {
        self.keys.get(key)
    }

    /// The keys under a lease, in order.
    #[must_use]
    pub fn keys_under(&self, lease: i64) -> Vec<Bytes> {
        self.keys.values().filter(|kv| kv.lease == lease).map(|kv| kv.key.clone()).collect()
    }
}

/// What a new watcher is told from one revision to another, both included.
async fn history(client: &Client, from: i64, to: i64) -> Vec<Revision> {
    let mut found: Vec<Revision> = Vec::new();
    if from > to {
        return found;
    }
    let mut watching = Watching::of(client, watch_everything(from)).await;
    while found.last().is_none_or(|last| last.number < to) {
        let answer = watching.answer().await;
        assert!(!answer.canceled, "{answer:?}");
        for event in answer.events.into_messages().expect("events decode") {
            let number = event.kv.as_ref().expect("an event has a key").mod_revision;
            match found.last_mut() {
                Some(last) if last.number == number => last.events.push(event),
                _ => found.push(Revision { number, events: vec![event] }),
            }
        }
    }
    // Leases may expire while this is read.
    found.retain(|revision| revision.number <= to);
    found
}
