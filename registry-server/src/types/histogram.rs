//! Durations by size, with bounds of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something took how long. Bounds are given when it is made, in rising order.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// One for each bound, and one for what is above all.
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Nothing yet.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        let buckets = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, buckets, sum_ns: AtomicU64::new(0) }
    }

    /// It took so long once.
    pub fn observe(&self, took: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < took);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Each bound, and how often it took no longer.
    pub fn cumulated(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.buckets.iter().scan(0, |total, bucket| {
            *total += bucket.load(Ordering::Relaxed);
            Some(*total)
        });
        self.bounds.iter().copied().zip(counts)
    }

    /// How often in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// All together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_does_not_exceed() {
        static BOUNDS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(10)];
        let histogram = Histogram::new(&BOUNDS);
        for ms in [0, 5, 6, 10, 11] {
            histogram.observe(Duration::from_millis(ms));
        }
        assert_eq!(histogram.cumulated().map(|(_, count)| count).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((histogram.count(), histogram.sum()), (5, Duration::from_millis(32)));
    }
}
