//! One phase of a load (warm-up or measurement): how many operations may still begin, and when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::BenchError;
use crate::load::Amount;
use crate::pace::{Alarm, Schedule};

/// How much longer than planned an open loop may take before the server counts as overloaded: as long again,
/// and this.
const OVERLOAD_GRACE: Duration = Duration::from_secs(5);

/// What all clients of a phase share.
#[derive(Debug)]
pub(crate) struct Phase {
    started: Instant,
    begun: AtomicU64,
    turns: u64,
    until: Option<Instant>,
    pace: Option<Pace>,
    stopped: AtomicBool,
    failure: Mutex<Option<BenchError>>,
}

#[derive(Debug)]
struct Pace {
    schedule: Schedule,
    per_second: f64,
    give_up_at: Instant,
}

impl Phase {
    pub(crate) fn new(started: Instant, amount: Amount, rate: Option<f64>) -> Self {
        let (turns, until) = match (amount, rate) {
            (Amount::Ops(ops), _) => (ops, None),
            // All that are due in the time, however late: leaving the late ones out would flatter the server.
            (Amount::Time(time), Some(rate)) => (Schedule::turns_within(rate, time), None),
            (Amount::Time(time), None) => (u64::MAX, Some(started + time)),
        };
        let pace = rate.map(|per_second| Pace {
            schedule: Schedule::new(started, per_second),
            per_second,
            give_up_at: started + Duration::from_secs_f64(2.0 * turns as f64 / per_second) + OVERLOAD_GRACE,
        });
        let (begun, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { started, begun, turns, until, pace, stopped, failure: Mutex::new(None) }
    }

    /// How much of the phase has passed, from 0 to 1, for the display.
    pub(crate) fn progress(&self) -> f64 {
        match self.until {
            Some(until) => self.started.elapsed().as_secs_f64() / (until - self.started).as_secs_f64().max(1e-9),
            None => self.begun.load(Ordering::Relaxed) as f64 / self.turns.max(1) as f64,
        }
        .min(1.0)
    }

    /// Waits for the next operation's turn and says from when on it counts; none when no more may begin.
    ///
    /// The alarm's lock is what clients without anything to do queue up at.
    pub(crate) async fn next_turn(&self, alarm: &tokio::sync::Mutex<Alarm>) -> Option<Instant> {
        let Some(pace) = &self.pace else {
            let now = Instant::now();
            return (self.take_turn()?.1 || self.until.is_none_or(|until| now < until)).then_some(now);
        };
        let alarm = alarm.lock().await;
        let (turn, _) = self.take_turn()?;
        if Instant::now() > pace.give_up_at {
            self.fail(BenchError::Overloaded {
                per_second: pace.per_second,
                done: turn,
                wanted: self.turns,
                after: self.started.elapsed(),
            });
            return None;
        }
        let due = pace.schedule.due(turn);
        match alarm.wait_until(due).await {
            Ok(()) => Some(due),
            Err(error) => {
                self.fail(BenchError::system("the timer")(error));
                None
            }
        }
    }

    /// The next turn's number, and whether it is the first of all: that one is never too late.
    fn take_turn(&self) -> Option<(u64, bool)> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let turn = self.begun.fetch_add(1, Ordering::Relaxed);
        (turn < self.turns).then_some((turn, turn == 0))
    }

    /// Ends the phase; the first failure is what is reported.
    pub(crate) fn fail(&self, error: BenchError) {
        self.failure.lock().get_or_insert(error);
        self.stop();
    }

    /// Ends the phase without a failure, for whoever gives the measurement up.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_failure(&self) -> Option<BenchError> {
        self.failure.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm() -> tokio::sync::Mutex<Alarm> {
        tokio::sync::Mutex::new(Alarm::new().unwrap())
    }

    #[tokio::test]
    async fn no_more_operations_begin_than_were_asked_for() {
        let (phase, alarm) = (Phase::new(Instant::now(), Amount::Ops(3), None), alarm());
        for _ in 0..3 {
            assert!(phase.next_turn(&alarm).await.is_some());
        }
        assert!(phase.next_turn(&alarm).await.is_none());
        assert!((phase.progress() - 1.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn in_an_open_loop_a_late_operation_counts_from_when_it_was_due() {
        let started = Instant::now() - Duration::from_secs(1);
        let phase = Phase::new(started, Amount::Time(Duration::from_secs(2)), Some(10.0));
        let alarm = alarm();
        for turn in 0..3 {
            assert_eq!(phase.next_turn(&alarm).await, Some(started + Duration::from_millis(100) * turn));
        }
        assert_eq!(phase.turns, 20);
    }

    #[tokio::test]
    async fn an_open_loop_that_falls_far_behind_fails() {
        let started = Instant::now() - Duration::from_secs(60);
        let phase = Phase::new(started, Amount::Ops(10), Some(10.0));
        assert!(phase.next_turn(&alarm()).await.is_none());
        assert!(matches!(phase.take_failure(), Some(BenchError::Overloaded { .. })));
    }

    #[tokio::test]
    async fn a_failure_ends_the_phase() {
        let (phase, alarm) = (Phase::new(Instant::now(), Amount::Ops(3), None), alarm());
        phase.fail(BenchError::answer("put", "first"));
        phase.fail(BenchError::answer("put", "second"));
        assert!(phase.next_turn(&alarm).await.is_none());
        assert_eq!(phase.take_failure().unwrap().to_string(), "put: first");
    }
}
