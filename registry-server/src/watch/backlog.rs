//! What a stream has taken out of its queue: merged by who gets it, then given to one watcher after another.
//!
//! A list of watchers is the same allocation for all events between two changes of their group, so all that
//! waits for one list becomes one answer of many events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::members::{Serial, Serials};
use super::queue::Item;
use crate::types::Revision;

/// Items in the order of arrival, by list of watchers. Refilled only when empty, so bounded as its sources.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The lists, by the arrival of their first item. For a watcher that is in two lists, the older list
    /// comes first and nothing is added to it any more.
    order: VecDeque<usize>,
    /// By the address of the list, which stands as long as its items are here.
    lists: BTreeMap<usize, VecDeque<Item>>,
}

/// One answer, still to be given to some watchers.
#[derive(Debug)]
pub(super) struct Expansion {
    serials: Serials,
    position: usize,
    /// The watchers are current up to here after the answer.
    pub(super) revision: Revision,
    /// Encoded records of whole revisions.
    pub(super) events: Bytes,
    /// How many they are.
    pub(super) count: u64,
}

impl Backlog {
    pub(super) fn push(&mut self, item: Item) {
        let list = Arc::as_ptr(&item.serials).cast::<Serial>() as usize;
        let items = self.lists.entry(list).or_default();
        if items.is_empty() {
            self.order.push_back(list);
        }
        items.push_back(item);
    }

    /// The oldest item and what follows it for the same watchers, up to `max_bytes` unless one revision
    /// alone is longer.
    pub(super) fn merged(&mut self, max_bytes: usize) -> Option<Expansion> {
        let list = *self.order.front()?;
        let items = self.lists.get_mut(&list)?;
        let first = items.pop_front()?;
        let mut bytes = first.events.len();
        let mut more = 0;
        while let Some(item) = items.get(more).filter(|item| bytes + item.events.len() <= max_bytes) {
            bytes += item.events.len();
            more += 1;
        }
        let expansion = Expansion::new(first, items.drain(..more), bytes);
        if items.is_empty() {
            self.lists.remove(&list);
            self.order.pop_front();
        }
        Some(expansion)
    }
}

impl Expansion {
    fn new(first: Item, more: impl ExactSizeIterator<Item = Item>, bytes: usize) -> Self {
        let Item { serials, mut revision, mut events, mut count } = first;
        if more.len() > 0 {
            let mut merged = BytesMut::with_capacity(bytes);
            merged.extend_from_slice(&events);
            for item in more {
                merged.extend_from_slice(&item.events);
                revision = item.revision;
                count += item.count;
            }
            events = merged.freeze();
        }
        Self { serials, position: 0, revision, events, count }
    }

    /// The watcher whose turn it is.
    pub(super) fn current(&self) -> Option<Serial> {
        self.serials.get(self.position).copied()
    }

    /// Goes on to the next watcher.
    pub(super) fn advance(&mut self) {
        self.position += 1;
    }
}
