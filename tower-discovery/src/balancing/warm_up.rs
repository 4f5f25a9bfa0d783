//! The share of an endpoint that is new.

use std::time::Duration;

use tokio::time::Instant;

/// A new endpoint begins with this part of its weight.
const FIRST: f64 = 0.1;
/// In so many steps the weight grows.
const STEPS: u32 = 32;

/// The part of its weight that an endpoint has which was connected first at `since`: grows evenly.
pub(crate) fn part(warm_up: Duration, since: Instant, now: Instant) -> f64 {
    if warm_up.is_zero() {
        return 1.0;
    }
    let passed = now.saturating_duration_since(since).as_secs_f64() / warm_up.as_secs_f64();
    passed.clamp(FIRST, 1.0)
}

/// The time between two steps.
pub(crate) fn step(warm_up: Duration) -> Duration {
    (warm_up / STEPS).max(Duration::from_millis(10))
}
