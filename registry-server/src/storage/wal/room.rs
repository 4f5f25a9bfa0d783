//! Room for entries: it is reserved before an entry is proposed, as consensus cannot take back an append.
//!
//! What always holds: what is reserved finds its place in the current segment and the one made ahead, beside
//! the reserve that is kept for votes, truncations, purges and the few entries that nobody reserves for. When
//! that reserve is used up too, operations wait in the queue for the next segment.

use std::sync::Arc;

use super::options::ENTRY_OVERHEAD_BYTES;
use super::queue::cost_bytes;
use super::record::RECORD_HEADER_BYTES;
use super::writer::State;
use super::{Core, Wal, WalError, job};
use crate::storage::vfs::Vfs;

/// How many bytes of entries may be reserved; the queue's bound, as an entry waits there only when reserved.
pub(super) const MAX_RESERVED_BYTES: u64 = 64 << 20;

/// How many [`Wal::when_changed`] callers wait at once; more are called back immediately.
const MAX_WAITERS: usize = 1024;

/// Room for one entry; dropping it gives the room back. Hold it until the entry is written or given up.
#[must_use = "dropping a reservation gives it back"]
pub struct Reservation(Option<Box<dyn FnOnce() + Send + Sync>>);

/// What is reserved.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    /// Of records.
    record_bytes: u64,
    /// What they take in segments at most, in bytes.
    cost: u64,
}

impl<V: Vfs> Wal<V> {
    /// Reserves room for an entry of `entry_bytes`, which may become 64 bytes longer until it is appended. A
    /// node asks for it before it proposes an entry or takes one from a leader.
    ///
    /// # Errors
    /// [`WalError::TooLarge`]: above [`WalOptions::max_entry_bytes`](super::WalOptions::max_entry_bytes).
    /// [`WalError::NoSpace`], [`WalError::NoSegment`] and [`WalError::Full`]: try again after
    /// [`Wal::when_changed`]; this may also make the log look for room again, at most one attempt at a time
    /// and the more rarely the more of them failed. [`WalError::Failed`] and [`WalError::Closed`]: final.
    pub fn reserve(&self, entry_bytes: usize) -> Result<Reservation, WalError> {
        let record_bytes = (entry_bytes as u64).saturating_add(RECORD_HEADER_BYTES as u64 + ENTRY_OVERHEAD_BYTES);
        let limit = self.core.options.max_record_bytes();
        if record_bytes > limit {
            return Err(WalError::TooLarge { bytes: record_bytes, limit });
        }
        let (admitted, search) = {
            let mut state = self.core.state.lock();
            let admitted = state.admit(record_bytes, self.core.options.segment_bytes);
            match &admitted {
                Ok(()) => state.reserved.add(record_bytes),
                Err(_) => state.search.refused(),
            }
            (admitted, state.search.is_due())
        };
        if admitted.is_err() {
            self.core.prepare_spare(search);
        }
        admitted?;
        let core = self.core.clone();
        Ok(Reservation(Some(Box::new(move || core.give_back(record_bytes)))))
    }

    /// The largest entry that [`Wal::reserve`] takes, in bytes.
    #[must_use]
    pub fn max_entry_bytes(&self) -> usize {
        self.core.options.max_entry_bytes()
    }

    /// Whether the last attempt to make the next segment failed, so that the log has to be told when to try
    /// again: nobody may be reserving while all that was appended waits for room.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        let state = self.core.state.lock();
        state.search.trouble().is_some() && state.refusal().is_none()
    }

    /// Makes the log look for room again, unless it does or has some. A node calls this every second or so
    /// while [`Wal::waits_for_room`].
    pub fn look_for_room(&self) {
        self.core.prepare_spare(true);
    }

    /// Calls `wake` once, when the log has written something, a search for room has ended, a reservation was
    /// given back, or the log has failed or was closed: when a refused reservation may be tried again. A
    /// change between the refusal and this call is missed, so try once more after it and then wait. At most
    /// 1,024 may wait; more are called at once.
    pub fn when_changed(&self, wake: impl FnOnce() + Send + 'static) {
        {
            let mut state = self.core.state.lock();
            if state.refusal().is_none() && state.waiters.len() < MAX_WAITERS {
                state.waiters.push(Box::new(wake));
                return;
            }
        }
        wake();
    }
}

impl<V: Vfs> Core<V> {
    fn give_back(self: &Arc<Self>, record_bytes: u64) {
        let waiters = {
            let mut state = self.state.lock();
            state.reserved.subtract(record_bytes);
            std::mem::take(&mut state.waiters)
        };
        job::wake_all(waiters);
    }
}

impl<F> State<F> {
    /// Why nothing is taken any more.
    pub(super) fn refusal(&self) -> Option<WalError> {
        if self.jobs.is_closed() { Some(WalError::Closed) } else { self.failed.clone().map(WalError::Failed) }
    }

    /// Whether a record of `record_bytes` can be reserved.
    fn admit(&self, record_bytes: u64, segment_bytes: u64) -> Result<(), WalError> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        // What is left of the current segment is for what must be written on a full disk.
        if let Some(WalError::NoSpace) = self.search.trouble() {
            return Err(WalError::NoSpace);
        }
        if self.reserved.record_bytes.max(self.queue.queued_bytes()) + record_bytes > MAX_RESERVED_BYTES {
            return Err(WalError::Full);
        }
        // An eighth may be lost at the end of the current segment, to a record that does not fit; a quarter
        // is for what nobody reserves. An entry that is reserved and waits is counted twice, which only
        // makes the room look smaller.
        let reserve_bytes = segment_bytes / 8 * 3;
        let room_bytes = self.position.room_bytes() + self.spare.room_bytes();
        let wanted_bytes = self.queue.cost() + self.reserved.cost + cost_bytes(record_bytes) + reserve_bytes;
        if wanted_bytes > room_bytes { Err(self.search.trouble().cloned().unwrap_or(WalError::Full)) } else { Ok(()) }
    }
}

impl Reserved {
    fn add(&mut self, record_bytes: u64) {
        self.record_bytes += record_bytes;
        self.cost += cost_bytes(record_bytes);
    }

    fn subtract(&mut self, record_bytes: u64) {
        self.record_bytes -= record_bytes;
        self.cost -= cost_bytes(record_bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(give_back) = self.0.take() {
            give_back();
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reservation")
    }
}
