//! The log as its readers see it: where each entry lies, the cache of the newest, vote, committed and purged
//! ids. Pure bookkeeping: appends, truncations and purges show here the moment they are queued.
//!
//! What always holds: entries have consecutive indices; the cache is the log's tail; an entry leaves the
//! cache only when it is durable, so an entry that is not cached can be read from its file.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::WalState;
use super::record::Record;
use crate::types::planted::{Bug, planted};

/// Where an entry's record lies. Entries not yet placed have offset 0, which no record has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) segment: u32,
    /// Of the record's header, in bytes from the segment's beginning.
    pub(super) offset: u32,
    /// Of the payload.
    pub(super) bytes: u32,
}

/// What an entry in the cache costs beside its payload, about.
const CACHED_BYTES: usize = 112;

/// A cached entry, and the ticket of the operation that appended it.
struct Cached {
    bytes: Bytes,
    ticket: u64,
}

impl Cached {
    /// What it takes of the cache: with the payload its allocation and its place here, so that a cache of
    /// small entries is bounded as well.
    fn bytes(&self) -> usize {
        self.bytes.len() + CACHED_BYTES
    }
}

/// The log's bookkeeping.
#[derive(Default)]
pub(super) struct Log {
    /// The index of `slots[0]`; meaningless while there is none.
    first: u64,
    slots: VecDeque<Slot>,
    cache: VecDeque<Cached>,
    cached_bytes: usize,
    log_bytes: u64,
    purged: Option<(u64, Bytes)>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
}

impl Log {
    /// The index that continues the log; `None`: any does, as the log is empty and nothing was purged.
    pub(super) fn expected_index(&self) -> Option<u64> {
        if self.slots.is_empty() { self.index_after_purge() } else { Some(self.end()) }
    }

    /// Whether the log holds no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn index_after_purge(&self) -> Option<u64> {
        self.purged.as_ref().map(|(index, _)| index.saturating_add(1))
    }

    /// One past the last entry.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.slots.len() as u64)
    }

    fn first_index(&self) -> u64 {
        if self.slots.is_empty() { self.index_after_purge().unwrap_or(0) } else { self.first }
    }

    /// Adds an entry that continues the log.
    pub(super) fn push(&mut self, index: u64, bytes: Bytes, ticket: u64, place: Option<(u32, u32)>) {
        if self.slots.is_empty() {
            self.first = index;
        }
        let (segment, offset) = place.unwrap_or((0, 0));
        let length = bytes.len();
        self.slots.push_back(Slot { segment, offset, bytes: u32::try_from(length).unwrap_or(u32::MAX) });
        self.log_bytes += length as u64;
        let cached = Cached { bytes, ticket };
        self.cached_bytes += cached.bytes();
        self.cache.push_back(cached);
    }

    /// Notes where an entry was put. An entry that was truncated or purged meanwhile is skipped; one that
    /// was replaced meanwhile is noted again when its replacement is put, and is cached until then.
    pub(super) fn place(&mut self, index: u64, segment: u32, offset: u32) {
        let at = index.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            slot.segment = segment;
            slot.offset = offset;
        }
    }

    /// Drops the entries after `last_kept`; `None` drops all.
    pub(super) fn truncate_after(&mut self, last_kept: Option<u64>) {
        let kept = last_kept.map_or(0, |last| last.saturating_add(1).saturating_sub(self.first));
        while self.slots.len() as u64 > kept {
            if let Some(slot) = self.slots.pop_back() {
                self.log_bytes -= u64::from(slot.bytes);
            }
            if let Some(cached) = self.cache.pop_back() {
                self.cached_bytes -= cached.bytes();
            }
        }
    }

    /// Drops the entries up to `index`.
    pub(super) fn purge(&mut self, index: u64, id: Bytes) {
        if self.purged.as_ref().is_some_and(|(purged, _)| *purged > index) {
            return;
        }
        while !self.slots.is_empty() && self.first <= index {
            if self.cache.len() == self.slots.len() {
                self.uncache_front();
            }
            if let Some(slot) = self.slots.pop_front() {
                self.log_bytes -= u64::from(slot.bytes);
            }
            self.first += 1;
        }
        self.purged = Some((index, id));
    }

    fn uncache_front(&mut self) {
        if let Some(cached) = self.cache.pop_front() {
            self.cached_bytes -= cached.bytes();
        }
    }

    /// Shrinks the cache to `limit_bytes`, as far as its oldest entries are durable.
    pub(super) fn evict(&mut self, limit_bytes: usize, durable_ticket: u64) {
        while self.cached_bytes > limit_bytes && self.cache.front().is_some_and(|front| front.ticket <= durable_ticket)
        {
            self.uncache_front();
        }
    }

    pub(super) fn set_vote(&mut self, vote: Bytes) {
        self.vote = Some(vote);
    }

    pub(super) fn set_committed(&mut self, committed: Bytes) {
        self.committed = Some(committed);
    }

    /// The part of `range` that the log holds.
    pub(super) fn clip(&self, range: &Range<u64>) -> Range<u64> {
        if self.slots.is_empty() {
            return 0..0;
        }
        let clipped = range.start.max(self.first)..range.end.min(self.end());
        if clipped.is_empty() { 0..0 } else { clipped }
    }

    /// An entry's place and, when cached, its bytes.
    pub(super) fn get(&self, index: u64) -> Option<(Slot, Option<Bytes>)> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let slot = *self.slots.get(at)?;
        let uncached = self.slots.len() - self.cache.len();
        let cached = at.checked_sub(uncached).and_then(|at| self.cache.get(at));
        Some((slot, cached.map(|cached| cached.bytes.clone())))
    }

    /// Whether an entry that the log holds is cached.
    pub(super) fn is_cached(&self, index: u64) -> bool {
        self.end().saturating_sub(index) <= self.cache.len() as u64
    }

    pub(super) fn state(&self) -> WalState {
        WalState {
            first_index: self.first_index(),
            last_index: if self.slots.is_empty() { None } else { Some(self.end() - 1) },
            purged: self.purged.clone(),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            log_bytes: self.log_bytes,
        }
    }
}

/// Vote, committed and purged ids as of what was put into segments; every segment begins with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
}

impl Head {
    /// Takes over what a record that goes into a segment says.
    pub(super) fn note(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote.clone()),
            Record::Committed(committed) => self.committed = Some(committed.clone()),
            Record::Purged { index, id } => {
                if self.purged_index().is_none_or(|purged| purged <= *index) {
                    self.purged = Some((*index, id.clone()));
                }
            }
            Record::Entry { .. } | Record::TruncateAfter(_) => {}
        }
    }

    /// The records that say the same.
    pub(super) fn records(&self) -> Vec<Record> {
        let vote = self.vote.clone().filter(|_| !planted(Bug::SegmentWithoutVote)).map(Record::Vote);
        let committed = self.committed.clone().map(Record::Committed);
        let purged = self.purged.clone().map(|(index, id)| Record::Purged { index, id });
        [vote, committed, purged].into_iter().flatten().collect()
    }

    pub(super) fn purged_index(&self) -> Option<u64> {
        self.purged.as_ref().map(|(index, _)| *index)
    }
}
