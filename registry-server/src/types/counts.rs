//! Counts that rooms keep of what they do: plain atomics, of one node each, read by whoever shows them.
//!
//! A room owns its counts as fields; nothing is registered anywhere, so nodes in one process stay apart.
//! Orderings are relaxed: a count tells how much happened, never that something else may be read.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// How often something happened. Begins at 0 with the node and only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// It happened once more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// It happened so often.
    pub fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How often so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// So many more, or fewer.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// One more, until the answer is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }

    /// How many now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// The finite buckets of [`Durations`].
pub const DURATION_BUCKETS: usize = 14;
/// The first bucket's bound; each one's is twice that of the one before. etcd's for everything on disk.
const FIRST_BOUND: Duration = Duration::from_millis(1);

/// How long something took, by size: 1 ms, 2 ms and so on to 8.192 s, and above.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; DURATION_BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    /// It took so long once.
    pub fn observe(&self, took: Duration) {
        let bucket = Self::bounds().position(|bound| took <= bound).unwrap_or(DURATION_BUCKETS);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often it took up to each of [`Self::bounds`], and how often in all.
    #[must_use]
    pub fn cumulated(&self) -> ([u64; DURATION_BUCKETS], u64) {
        let mut total = 0;
        let mut counts = [0; DURATION_BUCKETS];
        for (at, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            if let Some(count) = counts.get_mut(at) {
                *count = total;
            }
        }
        (counts, total)
    }

    /// All together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }

    /// The upper bounds of the finite buckets.
    pub fn bounds() -> impl Iterator<Item = Duration> {
        (0..DURATION_BUCKETS).map(|at| FIRST_BOUND * (1 << at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_does_not_exceed() {
        let durations = Durations::default();
        for ms in [0, 1, 2, 3, 8192, 8193] {
            durations.observe(Duration::from_millis(ms));
        }
        let (counts, total) = durations.cumulated();
        assert_eq!(counts[..4], [2, 3, 4, 4]);
        assert_eq!((counts[DURATION_BUCKETS - 1], total), (5, 6));
        assert_eq!(durations.sum(), Duration::from_millis(16_391));
    }

    #[test]
    fn the_bounds_are_those_of_etcds_disk_histograms() {
        let bounds: Vec<_> = Durations::bounds().map(|bound| bound.as_millis()).collect();
        assert_eq!((bounds[0], bounds[1], bounds[13]), (1, 2, 8192));
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let gauge = Gauge::default();
        let held = gauge.hold();
        assert_eq!(gauge.get(), 1);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }
}
