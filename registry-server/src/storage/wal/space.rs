//! Room on the disk: one segment is made ahead, on a lane of its own, and purged segments are removed there.
//!
//! An append is taken only when its place is certain, so a full disk is told to the proposer before anything
//! is written. Votes, truncations and purges use a reserve that appends leave free; when that too is used
//! up they wait for room.

use std::io;
use std::sync::Arc;

use super::queue::{MAX_QUEUED_BYTES, cost_bytes};
use super::segment::{self, Segment};
use super::writer::State;
use super::{Core, WalError};
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

    fn room_bytes(&self) -> u64 {
        match self {
            Self::Ready(segment) => segment.capacity,
            Self::Missing | Self::Making => 0,
        }
    }
}

/// Whether an error says that the disk, or the user's share of it, is full.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<F> State<F> {
    /// Whether an append of `record_bytes` can be taken.
    pub(super) fn admit(&self, record_bytes: u64, segment_bytes: u64) -> Result<(), WalError> {
        if let Some(error) = &self.failed {
            return Err(WalError::Failed(error.clone()));
        }
        if self.no_space {
            return Err(WalError::NoSpace);
        }
        if self.queue.queued_bytes() + record_bytes > MAX_QUEUED_BYTES {
            return Err(WalError::Full);
        }
        // An eighth may be lost at the end of the current segment, to a record that does not fit; a quarter
        // is for votes, truncations and purges.
        let reserve_bytes = segment_bytes / 8 * 3;
        let room_bytes = self.position.room_bytes() + self.spare.room_bytes();
        let wanted_bytes = self.queue.cost() + cost_bytes(record_bytes) + reserve_bytes;
        if wanted_bytes > room_bytes { Err(WalError::Full) } else { Ok(()) }
    }
}

impl<V: Vfs> Core<V> {
    /// Starts making the segment ahead when there is none and none is being made.
    pub(super) fn prepare_spare(self: &Arc<Self>) {
        let number = {
            let mut state = self.state.lock();
            if !matches!(state.spare, Spare::Missing) || state.failed.is_some() {
                return;
            }
            let Some(number) = state.position.current().number.checked_add(1) else { return };
            state.spare = Spare::Making;
            number
        };
        let core = self.clone();
        if self.space_lane.submit(move || core.make_spare(number)).is_err() {
            self.fail(io::Error::other("the log's second thread has ended"), Vec::new());
        }
    }

    fn make_spare(self: &Arc<Self>, number: u32) {
        let made = Segment::create(&self.vfs, &self.dir, number, self.options.segment_bytes);
        let (waiters, is_full) = {
            let mut state = self.state.lock();
            let was_full = state.no_space;
            match made {
                Ok(segment) => {
                    state.spare = Spare::Ready(segment);
                    state.no_space = false;
                }
                Err(error) if is_no_space(&error) => {
                    state.spare = Spare::Missing;
                    state.no_space = true;
                }
                Err(error) => {
                    drop(state);
                    return self.fail(error, Vec::new());
                }
            }
            self.tell_space(was_full, state.no_space);
            (std::mem::take(&mut state.waiters), state.no_space)
        };
        for wake in waiters {
            wake();
        }
        if !is_full {
            self.kick();
        }
    }

    fn tell_space(&self, was_full: bool, is_full: bool) {
        let dir = self.dir.display();
        match (was_full, is_full) {
            (false, true) => tracing::error!(
                %dir, bytes = self.options.segment_bytes,
                "no space for the next segment of the write-ahead log; writes are refused until there is room"
            ),
            (true, false) => tracing::info!(%dir, "the write-ahead log has room again"),
            (true, true) | (false, false) => {}
        }
    }

    /// Removes the segments that were given up, oldest first; a full disk may have room then. One job at a
    /// time does it.
    pub(super) fn remove_given_up(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.removing || state.given_up.is_empty() {
                return;
            }
            state.removing = true;
        }
        let core = self.clone();
        if self.space_lane.submit(move || core.remove_all()).is_err() {
            tracing::warn!("the log's second thread has ended; purged segments stay");
        }
    }

    fn remove_all(self: &Arc<Self>) {
        loop {
            let number = {
                let mut state = self.state.lock();
                let Some(number) = state.given_up.front().copied() else {
                    state.removing = false;
                    break;
                };
                number
            };
            // What stays is tried again after the next batch, first: removing a later one would leave a gap.
            if let Err(error) = segment::remove(&self.vfs, &self.dir, number) {
                tracing::warn!(number, %error, "cannot remove a purged segment of the write-ahead log");
                self.state.lock().removing = false;
                return;
            }
            self.state.lock().given_up.pop_front();
        }
        let full = self.state.lock().no_space;
        if full {
            self.prepare_spare();
        }
    }
}
