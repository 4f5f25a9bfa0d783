//! How long an endpoint is left alone between two attempts to connect.
//!
//! Each failure doubles the ceiling; the pause is drawn evenly between half of it and all of it, so that
//! clients that lost the same endpoint at the same moment do not come back together.

use std::time::Duration;

/// The bounds of the pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first pause.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
}

impl Default for Backoff {
    /// From 100 ms to 10 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The pause after `failures` in a row, with `random` in `0.0..1.0`; none after a connection that served.
    pub(crate) fn pause(self, failures: u32, random: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let ceiling = self.first.saturating_mul(1_u32 << doublings.min(20)).min(self.longest);
        ceiling.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::default();
        assert_eq!(backoff.pause(0, 0.5), Duration::ZERO);
        assert_eq!(backoff.pause(1, 1.0), Duration::from_millis(100));
        assert_eq!(backoff.pause(3, 1.0), Duration::from_millis(400));
        assert_eq!(backoff.pause(3, 0.0), Duration::from_millis(200));
        assert_eq!(backoff.pause(u32::MAX, 1.0), Duration::from_secs(10));
    }
}
