//! Room on the disk: one segment is made ahead, on a lane of its own, and purged segments are removed there.
//!
//! No error here is final, as nothing that was acknowledged depends on either: the log goes on in its current
//! segment, and both are tried again (`search`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::segment::{self, FIRST_BATCH_OFFSET, Segment};
use super::{Core, job, search};
use crate::storage::vfs::Vfs;

/// The segment that is made ahead.
pub(super) enum Spare<F> {
    /// None, and nobody makes one.
    Missing,
    /// A job makes it.
    Making,
    /// It waits to be written to.
    Ready(Segment<F>),
}

impl<F> Spare<F> {
    /// Takes the segment when it is ready.
    pub(super) fn take(&mut self) -> Option<Segment<F>> {
        match std::mem::replace(self, Self::Missing) {
            Self::Ready(segment) => Some(segment),
            other => {
                *self = other;
                None
            }
        }
    }

    pub(super) fn room_bytes(&self) -> u64 {
        match self {
            Self::Ready(segment) => segment.capacity.saturating_sub(FIRST_BATCH_OFFSET),
            Self::Missing | Self::Making => 0,
        }
    }
}

/// Segments that are not needed any more.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Those whose entries are all purged and whose files are still there, oldest first.
    pub(super) numbers: VecDeque<u32>,
    /// A job removes them.
    removing: bool,
    /// Which errors of removing them were told.
    told: Vec<(io::ErrorKind, Option<i32>)>,
}

/// Whether an error says that the disk, or the user's share of it, is full.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<V: Vfs> Core<V> {
    /// Starts making the segment ahead when there is none and none is being made; after an attempt that
    /// failed only when `again`.
    pub(super) fn prepare_spare(self: &Arc<Self>, again: bool) {
        let number = {
            let mut state = self.state.lock();
            let unwanted = state.search.trouble().is_some() && !again;
            if unwanted || !matches!(state.spare, Spare::Missing) || state.refusal().is_some() {
                return;
            }
            let Some(number) = state.position.current().number.checked_add(1) else { return };
            state.spare = Spare::Making;
            number
        };
        self.submit(&self.space_lane, move |core| core.make_spare(number));
    }

    fn make_spare(self: &Arc<Self>, number: u32) {
        if self.state.lock().refusal().is_some() {
            return;
        }
        let made = Segment::create(&self.vfs, &self.dir, number, self.options.segment_bytes, self.options.salt);
        let waiters = {
            let mut state = self.state.lock();
            match made {
                Ok(segment) => {
                    state.spare = Spare::Ready(segment);
                    state.search.succeeded(&self.dir);
                }
                Err(error) => {
                    state.spare = Spare::Missing;
                    state.search.failed(error, &self.dir, self.options.segment_bytes);
                }
            }
            std::mem::take(&mut state.waiters)
        };
        job::wake_all(waiters);
        self.kick();
    }

    /// Removes the segments that were given up, oldest first; a full disk may have room then. One job at a
    /// time does it.
    pub(super) fn remove_given_up(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.given_up.removing || state.given_up.numbers.is_empty() || state.refusal().is_some() {
                return;
            }
            state.given_up.removing = true;
        }
        self.submit(&self.space_lane, Self::remove_all);
    }

    fn remove_all(self: &Arc<Self>) {
        while let Some(number) = self.next_to_remove() {
            let removed = segment::remove(&self.vfs, &self.dir, number);
            let mut state = self.state.lock();
            if let Err(error) = removed {
                // What stays is tried again after the next batch, first: removing a later one would leave a
                // gap.
                state.given_up.removing = false;
                if search::tell(&mut state.given_up.told, &error) {
                    tracing::warn!(number, %error, "cannot remove a purged segment of the write-ahead log");
                }
                return;
            }
            state.given_up.numbers.pop_front();
            state.given_up.told.clear();
        }
        self.prepare_spare(true);
    }

    /// The oldest segment to remove; `None` ends the job.
    fn next_to_remove(&self) -> Option<u32> {
        let mut state = self.state.lock();
        let next = state.given_up.numbers.front().copied().filter(|_| state.refusal().is_none());
        state.given_up.removing = next.is_some();
        next
    }
}
