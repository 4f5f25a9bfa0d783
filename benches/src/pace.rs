//! When operations are due in an open loop.
//!
//! An operation counts from when it was due, not from when a client got round to it: a server that stalls
//! for a second must not have only one slow operation to show for it (coordinated omission).

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// A constant rate from a beginning on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: f64,
}

impl Schedule {
    /// The rate must be above 0.
    pub(crate) fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second }
    }

    /// When operation number `turn` (from 0) should be sent.
    pub(crate) fn due(&self, turn: u64) -> Instant {
        self.start + Duration::from_secs_f64(turn as f64 / self.per_second)
    }

    /// How many operations are due within a time; at least one.
    pub(crate) fn turns_within(per_second: f64, time: Duration) -> u64 {
        ((per_second * time.as_secs_f64()).round() as u64).max(1)
    }
}

/// Wakes its waiter to about 50 µs; the runtime's own timer rounds up to whole milliseconds.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Must be called within a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe; an owned descriptor upholds what that one asks for")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Returns at once when the time has come already.
    pub(crate) async fn wait_until(&self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let once = Itimerspec { it_interval: zero, it_value: value };
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            // Setting it anew is what resets the timer, so its count need not be read: only forget the readiness.
            self.timer.readable().await?.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_at_even_distances_however_late_the_last_one_was() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 200.0);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(1) - start, Duration::from_millis(5));
        assert_eq!(schedule.due(2_000) - start, Duration::from_secs(10));
    }

    #[test]
    fn a_time_holds_the_operations_due_in_it_and_at_least_one() {
        assert_eq!(Schedule::turns_within(200.0, Duration::from_secs(10)), 2_000);
        assert_eq!(Schedule::turns_within(0.1, Duration::from_secs(1)), 1);
    }

    #[tokio::test]
    async fn the_alarm_is_never_early_and_can_be_set_again() {
        let alarm = Alarm::new().unwrap();
        for wait in [Duration::from_micros(300), Duration::from_millis(3), Duration::ZERO, Duration::from_millis(1)] {
            let due = Instant::now() + wait;
            alarm.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
    }
}
