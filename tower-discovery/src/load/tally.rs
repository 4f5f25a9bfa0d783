//! How many requests succeeded and failed since they were last asked for.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counters of one connection; written by callers, taken by the driver.
#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: AtomicU32,
    failed: AtomicU32,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
}

impl Tally {
    pub(super) fn count(&self, is_success: bool) {
        let counter = if is_success { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives what was counted and begins anew.
    pub(super) fn take(&self) -> Counts {
        let take = |counter: &AtomicU32| counter.swap(0, Ordering::Relaxed);
        Counts { succeeded: take(&self.succeeded), failed: take(&self.failed) }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
    }

    pub(crate) fn total(self) -> u32 {
        self.succeeded.saturating_add(self.failed)
    }
}
