//! How busy and how trustworthy an endpoint is, as far as this client sees it.
//!
//! Load is the number of requests whose answer has not ended. A failure adds a penalty that fades, so that
//! an endpoint that fails fast, and therefore has nothing pending, does not draw the traffic. An endpoint
//! that has not answered anything yet is unproven: it gets one request at a time while others are proven.

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

/// The load of one connection.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pending: AtomicUsize,
    proven: AtomicBool,
    /// Whether there is a penalty at all; spares most picks the lock.
    penalised: AtomicBool,
    penalty: Mutex<Option<Penalty>>,
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
}

impl Load {
    /// Counts a request.
    pub(crate) fn start(self: &Arc<Self>) -> InFlight {
        self.pending.fetch_add(1, Ordering::Relaxed);
        InFlight { load: Arc::clone(self) }
    }

    /// Requests whose answer has not ended.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// It answered at least once, or has nothing to answer.
    pub(crate) fn is_trusted(&self) -> bool {
        self.proven.load(Ordering::Relaxed) || self.pending() == 0
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
    pub(crate) fn answered(&self) {
        self.load.proven.store(true, Ordering::Relaxed);
    }

    /// The endpoint failed the request.
    pub(crate) fn failed(&self, now: Instant) {
        self.load.punish(now);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.pending.fetch_sub(1, Ordering::Relaxed);
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
        assert!(load.is_trusted());
        let request = load.start();
        assert!(!load.is_trusted());
        request.answered();
        assert!(load.is_trusted());
    }
}
