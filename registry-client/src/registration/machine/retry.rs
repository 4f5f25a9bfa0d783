//! One thing that is tried until it succeeds.

use super::event::Moment;
use crate::backoff::Delays;

/// When it may be tried again.
#[derive(Debug)]
pub(super) struct Backoff {
    seed: u64,
    delays: Delays,
    /// Not before this moment; zero: at once.
    at: Moment,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, delays: Delays::new(seed), at: Moment::ZERO }
    }

    pub(super) fn at(&self) -> Moment {
        self.at
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        now >= self.at
    }

    pub(super) fn fail(&mut self, now: Moment) {
        self.at = now + self.delays.next();
    }

    /// Due at once, and from the first delay on.
    pub(super) fn reset(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        *self = Self::new(self.seed);
    }
}
