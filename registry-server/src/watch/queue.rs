//! The bounded queue between the apply thread and one stream.
//!
//! A full queue takes nothing: the hub then marks the watchers as behind, and the stream feeds them from
//! history. Entries in `behind` are bounded by the stream's watchers, as each is live or behind, never both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use super::counts::Counts;
use super::members::{Serial, Serials};
use super::range::Interest;
use crate::types::Revision;

/// What an entry costs beside its events.
const ITEM_BYTES: usize = 96;

/// A stream within the hub; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u64);

/// Events for some watchers of a stream.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Who gets them.
    pub(super) serials: Serials,
    /// The watchers are current up to here once they have the events.
    pub(super) revision: Revision,
    /// Encoded records of one revision.
    pub(super) events: Bytes,
    /// How many they are.
    pub(super) count: u64,
}

/// Watchers that missed events. They count as slow from here on, for their stream may not look at its queue for
/// long; when it does, it counts them itself.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) interest: Arc<Interest>,
    pub(super) serials: Vec<Serial>,
    /// The first revision they have not got.
    pub(super) next: Revision,
    counts: Arc<Counts>,
}

/// All that waited in a queue.
#[derive(Debug, Default)]
pub(super) struct Drained {
    pub(super) items: VecDeque<Item>,
    pub(super) behind: Vec<Behind>,
}

/// The queue of one stream.
#[derive(Debug)]
pub(super) struct StreamQueue {
    pub(super) id: StreamId,
    max_items: usize,
    max_bytes: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    drained: Drained,
    bytes: usize,
    waker: Option<Waker>,
}

impl Behind {
    pub(super) fn new(interest: &Arc<Interest>, serials: Vec<Serial>, next: Revision, counts: &Arc<Counts>) -> Self {
        let behind = Self { interest: Arc::clone(interest), serials, next, counts: Arc::clone(counts) };
        behind.count(1);
        behind
    }

    fn count(&self, sign: i64) {
        self.counts.slow_watchers.add(sign * self.serials.len() as i64);
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.count(-1);
    }
}

impl Drained {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.behind.is_empty()
    }
}

impl StreamQueue {
    pub(super) fn new(id: StreamId, max_items: usize, max_bytes: usize) -> Self {
        Self { id, max_items, max_bytes, waiting: Mutex::default() }
    }

    /// Puts events in and returns who is to be woken.
    ///
    /// # Errors
    /// [`Full`] when there is no room.
    pub(super) fn push(&self, item: Item) -> Result<Option<Waker>, Full> {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + item.events.len() + ITEM_BYTES;
        if waiting.drained.items.len() >= self.max_items || bytes > self.max_bytes {
            return Err(Full);
        }
        waiting.bytes = bytes;
        waiting.drained.items.push_back(item);
        Ok(waiting.waker.take())
    }

    /// Tells the stream which watchers it has to feed.
    pub(super) fn push_behind(&self, behind: Behind) -> Option<Waker> {
        let mut waiting = self.waiting.lock();
        waiting.drained.behind.push(behind);
        waiting.waker.take()
    }

    /// Takes everything; leaves the waker if there is nothing.
    pub(super) fn drain(&self, waker: &Waker) -> Option<Drained> {
        let mut waiting = self.waiting.lock();
        if waiting.drained.is_empty() {
            waiting.waker = Some(waker.clone());
            return None;
        }
        waiting.bytes = 0;
        Some(std::mem::take(&mut waiting.drained))
    }

    /// Takes the waker, to have the stream look again.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.waiting.lock().waker.take()
    }
}

/// The queue has no room.
#[derive(Debug)]
pub(super) struct Full;
