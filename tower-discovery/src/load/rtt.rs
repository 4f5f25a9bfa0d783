//! An average of times that follows peaks at once and fades with time, in one atomic word.
//!
//! The word holds the average in nanoseconds (a float, upper half) and when it was taken (lower half); a word
//! of 0 is none. Readers and writers never wait for each other; of two writers at the same moment one repeats.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A tick is 2^17 ns, about 131 µs; half their range, 3 days, is as old as an average can be told to be.
const TICK_BITS: u32 = 17;
const TICKS_A_SECOND: u64 = 1_000_000_000 >> TICK_BITS;

/// No average is less, in nanoseconds, however old: times can be divided, and no word is 0.
const LEAST: f32 = 1.0;

#[derive(Debug)]
pub(super) struct Rtt {
    epoch: Instant,
    decay_ticks: f32,
    word: AtomicU64,
}

impl Rtt {
    pub(super) fn new(epoch: Instant, decay: Duration) -> Self {
        let decay_ticks = decay.as_secs_f32() * TICKS_A_SECOND as f32;
        Self { epoch, decay_ticks, word: AtomicU64::new(0) }
    }

    /// The average at this moment, in nanoseconds; none before the first answer.
    pub(super) fn read(&self, now: Instant) -> Option<f32> {
        let (average, at) = unpack(self.word.load(Ordering::Relaxed))?;
        Some((average * self.remaining(at, self.tick(now))).max(LEAST))
    }

    /// The average when it was taken, however long ago.
    pub(super) fn last(&self) -> Option<f32> {
        unpack(self.word.load(Ordering::Relaxed)).map(|(average, _)| average)
    }

    /// Counts an answer that took so long to begin.
    pub(super) fn observe(&self, now: Instant, took: Duration) {
        let (now, took) = (self.tick(now), nanos(took));
        self.update(now, |known| match known {
            Some((average, at)) if took < average => {
                let old = self.remaining(at, now);
                Some(average * old + took * (1.0 - old))
            }
            _ => Some(took),
        });
    }

    /// Counts what took at least so long without an answer, if there have been answers.
    pub(super) fn raise(&self, now: Instant, took: Duration) {
        let (now, took) = (self.tick(now), nanos(took));
        self.update(now, |known| match known {
            Some((average, at)) if took > average * self.remaining(at, now) => Some(took),
            _ => None,
        });
    }

    fn update(&self, now: u32, mut next: impl FnMut(Option<(f32, u32)>) -> Option<f32>) {
        let step = |word| next(unpack(word)).map(|average| pack(average, now)).filter(|&next| next != word);
        // Nothing to write is no error.
        let _unchanged = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// What is left of an average of then; one from a moment that is about to come is new.
    fn remaining(&self, then: u32, now: u32) -> f32 {
        match now.wrapping_sub(then) {
            0 => 1.0,
            age if age > u32::MAX / 2 => 1.0,
            age => (-(age as f32) / self.decay_ticks).exp(),
        }
    }

    fn tick(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.epoch);
        let ticks = since.as_secs() * TICKS_A_SECOND + u64::from(since.subsec_nanos() >> TICK_BITS);
        // The range may be exceeded; only differences count.
        ticks as u32
    }
}

fn nanos(time: Duration) -> f32 {
    (time.as_secs_f32() * 1e9).max(LEAST)
}

fn pack(average: f32, at: u32) -> u64 {
    u64::from(average.max(LEAST).to_bits()) << 32 | u64::from(at)
}

fn unpack(word: u64) -> Option<(f32, u32)> {
    (word != 0).then_some((f32::from_bits((word >> 32) as u32), word as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rtt() -> (Rtt, Instant) {
        let now = Instant::now();
        (Rtt::new(now, Duration::from_secs(10)), now)
    }

    fn is_near(found: Option<f32>, millis: f32) -> bool {
        (found.unwrap() / 1e6 / millis - 1.0).abs() < 0.05
    }

    #[test]
    fn the_first_answer_counts_in_full() {
        let (rtt, now) = rtt();
        assert_eq!(rtt.read(now), None);
        rtt.observe(now, MS * 30);
        assert!(is_near(rtt.read(now), 30.0));
    }

    #[test]
    fn a_peak_counts_at_once_and_fades_with_time() {
        let (rtt, now) = rtt();
        rtt.observe(now, MS * 10);
        rtt.observe(now, MS * 100);
        assert!(is_near(rtt.read(now), 100.0));
        let later = now + Duration::from_secs(10);
        assert!(is_near(rtt.read(later), 36.8), "unused, it fades towards 0");
        rtt.observe(later, MS * 10);
        assert!(is_near(rtt.read(later), 36.8 + 6.3), "{:?}", rtt.read(later));
    }

    #[test]
    fn waiting_in_vain_raises_and_never_lowers() {
        let (rtt, now) = rtt();
        rtt.observe(now, MS * 10);
        rtt.raise(now, MS * 5);
        assert!(is_near(rtt.read(now), 10.0));
        rtt.raise(now, MS * 500);
        assert!(is_near(rtt.read(now), 500.0));
    }

    #[test]
    fn what_has_faded_for_a_day_is_little_and_not_nothing() {
        let (rtt, now) = rtt();
        rtt.observe(now, MS * 10);
        assert_eq!(rtt.read(now + Duration::from_secs(86_400)), Some(LEAST));
    }

    #[test]
    fn the_clock_of_ticks_may_wrap() {
        let (rtt, now) = rtt();
        let before = now + Duration::from_secs(562_000);
        rtt.observe(before, MS * 10);
        let after = before + Duration::from_secs(2_000);
        assert!(rtt.tick(after) < rtt.tick(before), "it wrapped");
        assert!(rtt.read(after).unwrap() < 1e3);
    }
}
