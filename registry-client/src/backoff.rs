//! When to try again: sooner at first, never for good, and never all clients at once.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Jitter adds up to as much again.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The delays of the one jittered schedule that the whole SDK uses. They grow, and never end.
#[derive(Debug)]
pub(crate) struct Delays(ExponentialBackoff);

impl Delays {
    /// The same seed gives the same jitter.
    pub(crate) fn new(seed: u64) -> Self {
        let schedule = ExponentialBuilder::new().with_min_delay(FIRST_DELAY).with_max_delay(LONGEST_DELAY);
        Self(schedule.without_max_times().with_jitter().with_jitter_seed(seed).build())
    }

    pub(crate) fn random() -> Self {
        Self::new(fastrand::u64(..))
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g04_delays_grow_to_a_bound_and_never_end() {
        let mut delays = Delays::new(1);
        let first = delays.next();
        assert!(first >= FIRST_DELAY && first <= FIRST_DELAY * 2);
        let last = (0..1_000).map(|_| delays.next()).last().unwrap();
        assert!(last >= LONGEST_DELAY && last <= LONGEST_DELAY * 2);
    }
}
