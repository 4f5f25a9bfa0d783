//! How many repetitions are allowed: a share of the requests, and a few a second in any case.

use std::time::Duration;

use tower::retry::budget::TpsBudget;

/// Requests count for so long.
const WINDOW: Duration = Duration::from_secs(10);
/// What [`TpsBudget`] takes.
const MOST_PER_SECOND: u32 = i32::MAX as u32 - 1;
const GREATEST_SHARE: f32 = 1000.0;

/// How many requests may be sent again: a share of those of the last 10 s, and so many a second beside.
///
/// When many requests fail, repeating all of them multiplies the load of servers that are in trouble; with a
/// budget it grows by the share at most, and what goes beyond is told to the caller as the failure that it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    per_second: u32,
    share: f32,
}

impl RetryBudget {
    /// `share` of the requests, from 0.0 to 1000.0, and `per_second` more. What lies outside counts as the nearest
    /// that does not.
    #[must_use]
    pub fn new(per_second: u32, share: f32) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, GREATEST_SHARE) };
        Self { per_second: per_second.min(MOST_PER_SECOND), share }
    }

    pub(super) fn bucket(self) -> TpsBudget {
        TpsBudget::new(WINDOW, self.per_second, self.share)
    }
}

impl Default for RetryBudget {
    /// A fifth of the requests, and 10 a second beside.
    fn default() -> Self {
        Self::new(10, 0.2)
    }
}
