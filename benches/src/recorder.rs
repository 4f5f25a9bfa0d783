//! How long operations took: one histogram a thread, added up at the end.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Nanoseconds: what is told apart, and what is still told from longer ones.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// The latencies of one thread's operations. Its lock is taken by others only between phases and for the
/// progress display.
#[derive(Debug)]
pub(crate) struct Recorder {
    histogram: Mutex<Histogram<u64>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { histogram: Mutex::new(empty()) }
    }

    pub(crate) fn record(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.lock().saturating_record(nanoseconds);
    }

    /// How many operations it holds.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.lock().len()
    }

    /// Hands over what it holds and begins anew.
    pub(crate) fn take(&self) -> Histogram<u64> {
        std::mem::replace(&mut self.histogram.lock(), empty())
    }
}

/// A histogram of nanoseconds.
pub(crate) fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS)
        .expect("the bounds are in order and the digits in 0..=5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_once() {
        let recorder = Recorder::new();
        recorder.record(Duration::from_millis(2));
        recorder.record(Duration::from_secs(100_000));
        assert_eq!(recorder.count(), 2);
        let taken = recorder.take();
        assert_eq!((taken.len(), recorder.count()), (2, 0));
        assert!(taken.value_at_quantile(0.5).abs_diff(2_000_000) < 2_000);
    }
}
