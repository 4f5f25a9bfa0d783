//! How busy and how trustworthy an endpoint is, as far as this client sees it.
//!
//! Load is the number of requests whose answer has not ended. A failure adds a penalty that fades, so that
//! an endpoint that fails fast, and therefore has nothing pending, does not draw the traffic; a caller that
//! gives up counts as one. An endpoint that has not answered anything yet is unproven: it gets one request at
//! a time while others are proven, and after one that was given up none for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// One failure weighs as much as this many pending requests.
const FAILURE: f64 = 8.0;
/// More failures than this add nothing, so that an endpoint is tried again within about 7 half-lives.
const MOST: f64 = 64.0;
/// The penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// Below this it is forgotten.
const LEAST: f64 = 0.5;
/// How long an endpoint that swallowed its first request is left alone: longer than the connector's pings
/// take to find out that nobody is there.
const DISTRUST: Duration = Duration::from_secs(30);

/// The load of one connection.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pending: AtomicUsize,
    proven: AtomicBool,
    /// Whether there is a penalty at all; spares most picks the lock.
    penalised: AtomicBool,
    penalty: Mutex<Option<Penalty>>,
    /// When a caller gave up on it while it was unproven.
    swallowed: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Penalty {
    value: f64,
    at: Instant,
}

/// One request, counted until it is dropped: at the end of the answer's body, or before.
#[derive(Debug)]
pub(crate) struct InFlight {
    load: Arc<Load>,
    /// What became of it has been counted.
    is_settled: bool,
}

impl Load {
    /// Counts a request.
    pub(crate) fn start(self: &Arc<Self>) -> InFlight {
        self.pending.fetch_add(1, Ordering::Relaxed);
        InFlight { load: Arc::clone(self), is_settled: false }
    }

    /// Requests whose answer has not ended.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// It answered at least once, or owes nobody an answer.
    pub(crate) fn is_trusted(&self, now: Instant) -> bool {
        let swallowed = || self.swallowed.lock().is_some_and(|at| now.saturating_duration_since(at) < DISTRUST);
        self.proven.load(Ordering::Relaxed) || self.pending() == 0 && !swallowed()
    }

    /// What another request would cost here, for a weight of 1.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        self.pending() as f64 + self.penalty(now)
    }

    fn penalty(&self, now: Instant) -> f64 {
        if !self.penalised.load(Ordering::Acquire) {
            return 0.0;
        }
        let mut penalty = self.penalty.lock();
        let left = penalty.map_or(0.0, |penalty| penalty.left(now));
        if left == 0.0 {
            *penalty = None;
            self.penalised.store(false, Ordering::Release);
        }
        left
    }

    fn punish(&self, now: Instant) {
        let mut penalty = self.penalty.lock();
        let left = penalty.map_or(0.0, |penalty| penalty.left(now));
        *penalty = Some(Penalty { value: (left + FAILURE).min(MOST), at: now });
        self.penalised.store(true, Ordering::Release);
    }
}

impl Penalty {
    fn left(self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let left = self.value * (-elapsed / HALF_LIFE.as_secs_f64()).exp2();
        if left < LEAST { 0.0 } else { left }
    }
}

impl InFlight {
    /// The endpoint has begun to answer.
    pub(crate) fn answered(&mut self) {
        self.is_settled = true;
        self.load.proven.store(true, Ordering::Relaxed);
    }

    /// The endpoint failed the request.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.is_settled = true;
        self.load.punish(now);
    }

    /// It did not come to an answer, and the endpoint is not to blame.
    pub(crate) fn excused(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.pending.fetch_sub(1, Ordering::Relaxed);
        if self.is_settled {
            return;
        }
        let now = Instant::now();
        if self.load.proven.load(Ordering::Relaxed) {
            self.load.punish(now);
        } else {
            *self.load.swallowed.lock() = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_costs_more_than_a_few_requests_and_is_forgotten() {
        let load = Arc::new(Load::default());
        load.start().failed(Instant::now());
        assert_eq!(load.pending(), 0);
        assert!(load.cost(Instant::now()) > 5.0);
        tokio::time::advance(HALF_LIFE * 5).await;
        assert!(load.cost(Instant::now()) == 0.0);
    }

    #[test]
    fn an_endpoint_is_trusted_with_one_request_until_it_answers() {
        let load = Arc::new(Load::default());
        let now = Instant::now();
        assert!(load.is_trusted(now));
        let mut request = load.start();
        assert!(!load.is_trusted(now));
        request.answered();
        assert!(load.is_trusted(now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_swallowed_its_first_request_is_tried_again_much_later() {
        let load = Arc::new(Load::default());
        drop(load.start());
        assert!(!load.is_trusted(Instant::now()));
        tokio::time::advance(DISTRUST).await;
        assert!(load.is_trusted(Instant::now()));
    }

    #[test]
    fn giving_up_on_a_proven_endpoint_is_a_failure() {
        let load = Arc::new(Load::default());
        load.start().answered();
        drop(load.start());
        assert!(load.is_trusted(Instant::now()) && load.cost(Instant::now()) > 5.0);
    }
}
