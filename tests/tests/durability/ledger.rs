//! What clients asked for and what they were told of it.
//!
//! Every write is entered before it is sent. What always holds after a settling: each acknowledged write is
//! in the history once, at the revision that was told; each other one at most once; nothing else is there but
//! what leases took with them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use registry_proto::mvccpb::Event;
use registry_proto::mvccpb::event::EventType;
use tokio::time::Instant;

use crate::chronicle::Revision;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Bytes,
    /// None for a delete.
    pub(crate) value: Option<Bytes>,
}

/// A write that was entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked(u64);

/// The writes that are not settled yet, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    /// Without an answer so far, and since when.
    open: BTreeMap<u64, (Instant, Vec<Change>)>,
    /// By the revision that was told.
    acknowledged: BTreeMap<i64, Vec<Change>>,
    /// The longest that an answer took since the last settling.
    slowest: Duration,
    tally: Tally,
}

/// What came of all writes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    /// Not acknowledged, and found in the history.
    pub(crate) found: usize,
    /// Not acknowledged, and nowhere.
    pub(crate) dropped: usize,
}

impl Change {
    pub(crate) fn put(key: &str, value: &Bytes) -> Self {
        Self { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(value.clone()) }
    }

    pub(crate) fn delete(key: impl AsRef<[u8]>) -> Self {
        Self { key: Bytes::copy_from_slice(key.as_ref()), value: None }
    }
}

impl From<&Event> for Change {
    fn from(event: &Event) -> Self {
        let kv = event.kv.as_ref().expect("an event has a key");
        Self { key: kv.key.clone(), value: (event.r#type() == EventType::Put).then(|| kv.value.clone()) }
    }
}

impl Pages {
    fn answered(&mut self, asked: Asked) -> Vec<Change> {
        let (since, changes) = self.open.remove(&asked.0).expect("a write is answered once");
        self.slowest = self.slowest.max(since.elapsed());
        changes
    }
}

impl Ledger {
    /// A number that no other write has: a value that holds it is told apart from all others.
    pub(crate) fn token(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.next += 1;
        pages.next
    }

    /// A write is about to be sent; these changes are what one revision will hold.
    pub(crate) fn ask(&self, changes: Vec<Change>) -> Asked {
        let asked = self.token();
        self.0.lock().open.insert(asked, (Instant::now(), changes));
        Asked(asked)
    }

    /// It was acknowledged.
    pub(crate) fn acknowledge(&self, asked: Asked, revision: i64) {
        let mut pages = self.0.lock();
        let changes = pages.answered(asked);
        let twin = pages.acknowledged.insert(revision, changes.clone());
        assert!(twin.is_none(), "revision {revision} was told for {changes:?} and for {twin:?}");
        pages.tally.acknowledged += 1;
    }

    /// The answer says that it changed nothing.
    pub(crate) fn refused(&self, asked: Asked) {
        drop(self.0.lock().answered(asked));
    }

    /// Finds out who wrote a revision and strikes that write out; false if nobody asked for what it holds.
    pub(crate) fn claim(&self, revision: &Revision) -> bool {
        let changes: Vec<_> = revision.events.iter().map(Change::from).collect();
        let mut pages = self.0.lock();
        if let Some(acknowledged) = pages.acknowledged.remove(&revision.number) {
            assert_eq!(changes, acknowledged, "revision {} holds something else than was told", revision.number);
            return true;
        }
        let found = pages.open.iter().find(|(_, (_, open))| *open == changes).map(|(asked, _)| *asked);
        let found = found.and_then(|asked| pages.open.remove(&asked)).is_some();
        pages.tally.found += usize::from(found);
        found
    }

    /// The whole history was claimed and no client of before is there any more: what is left was never
    /// applied, and never will be.
    pub(crate) fn settle(&self) {
        let mut pages = self.0.lock();
        assert!(pages.acknowledged.is_empty(), "acknowledged and lost, by revision: {:?}", pages.acknowledged);
        pages.tally.dropped += pages.open.len();
        pages.open.clear();
        pages.slowest = Duration::ZERO;
    }

    /// The longest that a write took or waits, since the last settling: what else the server does may have
    /// been held up as long.
    pub(crate) fn stall(&self) -> Duration {
        let pages = self.0.lock();
        pages.open.values().map(|(since, _)| since.elapsed()).max().unwrap_or_default().max(pages.slowest)
    }

    /// What came of all writes so far.
    pub(crate) fn tally(&self) -> Tally {
        self.0.lock().tally
    }
}
