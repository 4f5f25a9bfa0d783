//! When to try again: sooner at first, never for good, and never all clients at once.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::event::Moment;

const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Jitter adds up to as much again.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Delays of the one jittered schedule that the whole SDK uses; it never ends.
pub(crate) fn delays(seed: u64) -> ExponentialBackoff {
    let schedule = ExponentialBuilder::new().with_min_delay(FIRST_DELAY).with_max_delay(LONGEST_DELAY);
    schedule.without_max_times().with_jitter().with_jitter_seed(seed).build()
}

/// The schedule of one thing that is tried until it succeeds.
#[derive(Debug)]
pub(super) struct Backoff {
    seed: u64,
    delays: ExponentialBackoff,
    /// Not before this moment; zero: at once.
    at: Moment,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, delays: delays(seed), at: Moment::ZERO }
    }

    pub(super) fn at(&self) -> Moment {
        self.at
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        now >= self.at
    }

    pub(super) fn fail(&mut self, now: Moment) {
        self.at = now + self.delays.next().unwrap_or(LONGEST_DELAY);
    }

    pub(super) fn wait_until(&mut self, at: Moment) {
        self.at = at;
    }

    /// Due at once, and from the first delay on.
    pub(super) fn reset(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        *self = Self::new(self.seed);
    }
}
