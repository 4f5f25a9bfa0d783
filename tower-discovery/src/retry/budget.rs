//! How many repetitions are allowed: a share of the requests, and a few a second in any case.
//!
//! Counted in thousandths of a repetition, so that any share comes out right: a request deposits its share, and a
//! repetition takes a whole one. What was deposited expires; what comes with time has a limit. Neither is ever
//! below zero, so an outage of a minute ago takes nothing from the repetitions of now.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Requests count for so many seconds, and what comes with time is kept as long.
const WINDOW_SECONDS: usize = 10;
/// What a repetition takes, in thousandths of one.
const REPETITION: u64 = 1000;
const GREATEST_SHARE: f32 = 1000.0;

/// How many requests may be sent again: a share of those of the last 10 s, and so many a second beside.
///
/// When many requests fail, repeating all of them multiplies the load of servers that are in trouble; with a
/// budget it grows by the share at most, and what goes beyond is told to the caller as the failure that it is.
/// Of what a second adds, 10 s are kept at most, and are there from the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    per_second: u32,
    share: f32,
}

impl RetryBudget {
    /// `share` of the requests, from 0.0 to 1000.0 in steps of a thousandth, and `per_second` more. What lies outside
    /// counts as the nearest that does not.
    #[must_use]
    pub fn new(per_second: u32, share: f32) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, GREATEST_SHARE) };
        Self { per_second, share }
    }

    pub(super) fn bucket(self) -> Bucket {
        let began = Instant::now();
        let most = u64::from(self.per_second) * REPETITION * WINDOW_SECONDS as u64;
        Bucket {
            deposit: (f64::from(self.share) * REPETITION as f64).round() as u64,
            per_millisecond: u64::from(self.per_second),
            most,
            began,
            level: Mutex::new(Level { deposits: [0; WINDOW_SECONDS], second: 0, reserve: most, filled_ms: 0 }),
        }
    }
}

impl Default for RetryBudget {
    /// A fifth of the requests, and 10 a second beside.
    fn default() -> Self {
        Self::new(10, 0.2)
    }
}

/// What a budget has left. All amounts are thousandths of a repetition.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Of a request.
    deposit: u64,
    /// Comes with time: a repetition a second is a thousandth of one a millisecond.
    per_millisecond: u64,
    /// Of what comes with time.
    most: u64,
    began: Instant,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    /// By the second of their deposit, as a ring.
    deposits: [u64; WINDOW_SECONDS],
    /// The newest one, counted from the beginning.
    second: u64,
    /// What has come with time.
    reserve: u64,
    /// Until when it has.
    filled_ms: u64,
}

impl Bucket {
    /// Counts a request.
    pub(super) fn deposit(&self) {
        let mut level = self.level.lock();
        level.advance(self.began.elapsed());
        let newest = level.slot(0);
        level.deposits[newest] = level.deposits[newest].saturating_add(self.deposit);
    }

    /// Whether a request may be sent again; counts it if so.
    pub(super) fn withdraw(&self) -> bool {
        let now = self.began.elapsed();
        let mut level = self.level.lock();
        level.advance(now);
        level.fill(now, self.per_millisecond, self.most);
        level.take(REPETITION)
    }
}

impl Level {
    /// The place of the second that is so long ago.
    fn slot(&self, ago: usize) -> usize {
        let window = WINDOW_SECONDS as u64;
        ((self.second + window - ago as u64) % window) as usize
    }

    /// Lets deposits expire.
    fn advance(&mut self, now: Duration) {
        let passed = now.as_secs().saturating_sub(self.second);
        self.second += passed;
        for ago in 0..WINDOW_SECONDS.min(passed as usize) {
            let expired = self.slot(ago);
            self.deposits[expired] = 0;
        }
    }

    fn fill(&mut self, now: Duration, per_millisecond: u64, most: u64) {
        let now_ms = now.as_millis() as u64;
        let gained = now_ms.saturating_sub(self.filled_ms).saturating_mul(per_millisecond);
        self.reserve = self.reserve.saturating_add(gained).min(most);
        self.filled_ms = self.filled_ms.max(now_ms);
    }

    /// Takes so much, the oldest deposits first, or nothing if there is less.
    fn take(&mut self, amount: u64) -> bool {
        let deposited = self.deposits.iter().fold(0, |sum: u64, deposit| sum.saturating_add(*deposit));
        let from_reserve = amount.saturating_sub(deposited);
        if from_reserve > self.reserve {
            return false;
        }
        self.reserve -= from_reserve;
        let mut owed = amount - from_reserve;
        for ago in (0..WINDOW_SECONDS).rev() {
            let slot = self.slot(ago);
            let part = owed.min(self.deposits[slot]);
            self.deposits[slot] -= part;
            owed -= part;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// How many repetitions are allowed at this moment.
    fn drain(bucket: &Bucket) -> usize {
        std::iter::repeat_with(|| bucket.withdraw()).take(1_000_000).take_while(|is_allowed| *is_allowed).count()
    }

    #[tokio::test(start_paused = true)]
    async fn any_share_of_the_requests_is_allowed() {
        for (share, allowed) in [(0.0, 0), (0.2, 200), (0.3, 300), (0.4, 400), (0.7, 700), (1.0, 1000), (2.5, 2500)] {
            let bucket = RetryBudget::new(0, share).bucket();
            (0..1000).for_each(|_| bucket.deposit());
            assert_eq!(drain(&bucket), allowed, "a share of {share}");
        }
        assert_eq!(RetryBudget::new(3, f32::NAN), RetryBudget::new(3, 0.0));
        assert_eq!(RetryBudget::new(3, f32::INFINITY), RetryBudget::new(3, 1000.0));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_count_for_ten_seconds() {
        let bucket = RetryBudget::new(0, 0.5).bucket();
        (0..10).for_each(|_| bucket.deposit());
        advance(Duration::from_secs(5)).await;
        (0..20).for_each(|_| bucket.deposit());
        advance(Duration::from_millis(4900)).await;
        assert!(bucket.withdraw(), "the oldest goes first");
        advance(Duration::from_millis(100)).await;
        assert_eq!(drain(&bucket), 10, "the first ten requests are forgotten");
        (0..20).for_each(|_| bucket.deposit());
        advance(Duration::from_secs(1000)).await;
        assert_eq!(drain(&bucket), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn some_a_second_are_allowed_in_any_case_and_no_more_than_ten_seconds_gather() {
        let bucket = RetryBudget::new(4, 0.0).bucket();
        assert_eq!(drain(&bucket), 40);
        advance(Duration::from_millis(249)).await;
        assert!(!bucket.withdraw());
        advance(Duration::from_millis(1)).await;
        assert!(bucket.withdraw() && !bucket.withdraw());
        advance(Duration::from_secs(3)).await;
        assert_eq!(drain(&bucket), 12);
        advance(Duration::from_secs(3600)).await;
        assert_eq!(drain(&bucket), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_repeated_before_takes_nothing_from_what_each_second_brings() {
        let bucket = RetryBudget::new(1, 1.0).bucket();
        (0..500).for_each(|_| bucket.deposit());
        advance(Duration::from_secs(9)).await;
        assert_eq!(drain(&bucket), 510);
        advance(Duration::from_secs(2)).await;
        assert_eq!(drain(&bucket), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_greatest_budget_does_not_overflow() {
        let bucket = RetryBudget::new(u32::MAX, f32::MAX).bucket();
        (0..1000).for_each(|_| bucket.deposit());
        advance(Duration::from_secs(1_000_000_000)).await;
        assert!(bucket.withdraw());
    }
}
