//! What failures cost an endpoint: a weight that fades.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// One failure weighs as much as this many pending requests.
const FAILURE: f64 = 8.0;
/// More failures than this add nothing, so that an endpoint is tried again within about 7 half-lives.
const MOST: f64 = 64.0;
/// The penalty halves in this time.
pub(super) const HALF_LIFE: Duration = Duration::from_secs(1);
/// Below this it is forgotten.
const LEAST: f64 = 0.5;

/// The failures of one connection.
#[derive(Debug, Default)]
pub(super) struct Penalty {
    /// Whether there is one at all; spares most picks the lock.
    is_set: AtomicBool,
    mark: Mutex<Option<Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    value: f64,
    at: Instant,
}

impl Penalty {
    /// In pending requests.
    pub(super) fn left(&self, now: Instant) -> f64 {
        if !self.is_set.load(Ordering::Acquire) {
            return 0.0;
        }
        let mut mark = self.mark.lock();
        let left = mark.map_or(0.0, |mark| mark.left(now));
        if left == 0.0 {
            *mark = None;
            self.is_set.store(false, Ordering::Release);
        }
        left
    }

    pub(super) fn add(&self, now: Instant) {
        let mut mark = self.mark.lock();
        let left = mark.map_or(0.0, |mark| mark.left(now));
        *mark = Some(Mark { value: (left + FAILURE).min(MOST), at: now });
        self.is_set.store(true, Ordering::Release);
    }
}

impl Mark {
    fn left(self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let left = self.value * (-elapsed / HALF_LIFE.as_secs_f64()).exp2();
        if left < LEAST { 0.0 } else { left }
    }
}
