//! What clients asked for and what they were told of it.
//!
//! Every write is entered before it is sent. What always holds: a write is told a later revision than any that
//! was told before it was asked for. And after a settling: each acknowledged write is in the history once, at
//! the revision that was told; each other one at most once; nothing else is there but what leases took with
//! them.

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
pub struct Change {
    /// Of which one.
    pub key: Bytes,
    /// None for a delete.
    pub value: Option<Bytes>,
}

/// A write that was entered.
#[derive(Debug, Clone, Copy)]
pub struct Asked(u64);

/// The writes that are not settled yet, and how many were.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    /// The latest revision that any client was told: whoever asks from now on must be told no earlier one.
    told: i64,
    /// Without an answer so far.
    open: BTreeMap<u64, Open>,
    /// By the revision that was told.
    acknowledged: BTreeMap<i64, Vec<Change>>,
    /// The longest that an answer took since the last settling.
    slowest: Duration,
    tally: Tally,
}

/// A write without an answer.
#[derive(Debug)]
struct Open {
    since: Instant,
    /// The latest revision that was told before.
    after: i64,
    changes: Vec<Change>,
}

/// What came of all writes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Answered with success.
    pub acknowledged: usize,
    /// Not acknowledged, and found in the history.
    pub found: usize,
    /// Not acknowledged, and nowhere.
    pub dropped: usize,
}

impl Change {
    /// A put.
    #[must_use]
    pub fn put(key: &str, value: &Bytes) -> Self {
        Self { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(value.clone()) }
    }

    /// A delete.
    #[must_use]
    pub fn delete(key: impl AsRef<[u8]>) -> Self {
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
    fn answered(&mut self, asked: Asked) -> Open {
        let open = self.open.remove(&asked.0).expect("a write is answered once");
        self.slowest = self.slowest.max(open.since.elapsed());
        open
    }
}

impl Ledger {
    /// A number that no other write has: a value that holds it is told apart from all others.
    pub fn token(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.next += 1;
        pages.next
    }

    /// A write is about to be sent; these changes are what one revision will hold.
    pub fn ask(&self, changes: Vec<Change>) -> Asked {
        let asked = self.token();
        let mut pages = self.0.lock();
        let after = pages.told;
        pages.open.insert(asked, Open { since: Instant::now(), after, changes });
        Asked(asked)
    }

    /// The latest revision that any client was told so far.
    pub fn told(&self) -> i64 {
        self.0.lock().told
    }

    /// Somebody was told a revision by a read that no other may contradict.
    pub fn was_told(&self, revision: i64) {
        let mut pages = self.0.lock();
        pages.told = pages.told.max(revision);
    }

    /// It was acknowledged.
    ///
    /// # Panics
    /// When the revision was told for another write, or is none after those that were told before.
    pub fn acknowledge(&self, asked: Asked, revision: i64) {
        let mut pages = self.0.lock();
        let Open { after, changes, .. } = pages.answered(asked);
        assert!(revision > after, "revision {revision} was told for {changes:?}, asked for after {after} was told");
        pages.told = pages.told.max(revision);
        let twin = pages.acknowledged.insert(revision, changes.clone());
        assert!(twin.is_none(), "revision {revision} was told for {changes:?} and for {twin:?}");
        pages.tally.acknowledged += 1;
    }

    /// The answer says that it changed nothing.
    pub fn refused(&self, asked: Asked) {
        drop(self.0.lock().answered(asked));
    }

    /// Finds out who wrote a revision and strikes that write out; false if nobody asked for what it holds.
    ///
    /// # Panics
    /// When the revision was told for another write.
    pub fn claim(&self, revision: &Revision) -> bool {
        let changes: Vec<_> = revision.events.iter().map(Change::from).collect();
        let mut pages = self.0.lock();
        if let Some(acknowledged) = pages.acknowledged.remove(&revision.number) {
            assert_eq!(changes, acknowledged, "revision {} holds something else than was told", revision.number);
            return true;
        }
        let found = pages.open.iter().find(|(_, open)| open.changes == changes).map(|(asked, _)| *asked);
        let found = found.and_then(|asked| pages.open.remove(&asked)).is_some();
        pages.tally.found += usize::from(found);
        found
    }

    /// The whole history was claimed: nothing that was acknowledged is left.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_nothing_is_lost(&self) {
        let pages = self.0.lock();
        assert!(pages.acknowledged.is_empty(), "acknowledged and lost, by revision: {:?}", pages.acknowledged);
    }

    /// The whole history was claimed and no client of before is there any more: what is left was never
    /// applied, and never will be.
    ///
    /// # Panics
    /// When something that was acknowledged is left.
    pub fn settle(&self) {
        self.assert_nothing_is_lost();
        let mut pages = self.0.lock();
        pages.tally.dropped += pages.open.len();
        pages.open.clear();
        pages.slowest = Duration::ZERO;
    }

    /// The longest that a write took or waits, since the last settling: what else the server does may have
    /// been held up as long.
    pub fn stall(&self) -> Duration {
        let pages = self.0.lock();
        pages.open.values().map(|open| open.since.elapsed()).max().unwrap_or_default().max(pages.slowest)
    }

    /// What came of all writes so far.
    pub fn tally(&self) -> Tally {
        self.0.lock().tally
    }
}
