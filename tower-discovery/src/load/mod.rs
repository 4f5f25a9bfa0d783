//! How busy and how trustworthy an endpoint is, as far as this client sees it.
//!
//! A [`Load`] counts the requests whose answer has not ended; `rtt` averages how long answers take to begin, if
//! the [`LoadMetric`] wants it; `penalty` makes failures cost something, so that an endpoint that fails fast, and
//! therefore has nothing pending, does not draw the traffic; `tally` counts outcomes for the ejection of
//! outliers. A caller that gives up costs the endpoint what a failure does, but is none in the tally.
//!
//! An endpoint that has not answered anything yet is unproven: it gets one request at a time while others are
//! proven and not overrun, and after one that was given up none for a while.

mod metric;
mod penalty;
mod pending;
mod rtt;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

pub use metric::LoadMetric;
use parking_lot::Mutex;
pub(crate) use tally::Counts;
use tokio::time::Instant;

use self::metric::Kind;
use self::penalty::Penalty;
use self::pending::Pending;
use self::rtt::Rtt;
use self::tally::Tally;

/// How long an endpoint that swallowed its first request is left alone: longer than the connector's pings
/// take to find out that nobody is there.
const DISTRUST: Duration = Duration::from_secs(30);

/// The unanswered requests of a whole channel, counted where affinity needs to know what a fair share is.
pub(crate) type Total = Arc<AtomicU32>;

/// The load of one connection.
#[derive(Debug)]
pub(crate) struct Load {
    pending: Pending,
    proven: AtomicBool,
    rtt: Option<Rtt>,
    penalty: Penalty,
    tally: Tally,
    total: Option<Total>,
    /// When a caller gave up on it, or a deadline passed, while it was unproven.
    swallowed: Mutex<Option<Instant>>,
}

/// What a load is at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Requests whose answer has not ended.
    pub(crate) pending: f64,
    /// What failures add, in requests.
    pub(crate) penalty: f64,
    /// How long an answer takes to begin, in nanoseconds; none if that is not known or does not count.
    pub(crate) rtt: Option<f64>,
}

/// One request, counted until it is dropped: at the end of the answer's body, or before.
#[derive(Debug)]
pub(crate) struct InFlight {
    load: Arc<Load>,
    since: Instant,
    outcome: Outcome,
    /// The endpoint has begun to answer, whatever became of it.
    is_answered: bool,
}

/// What became of a request so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Answered,
    Failed,
    Excused,
}

impl Load {
    pub(crate) fn new(metric: LoadMetric, now: Instant, total: Option<Total>) -> Self {
        let rtt = match metric.0 {
            Kind::PeakEwma { decay } => Some(Rtt::new(now, decay)),
            Kind::PendingRequests => None,
        };
        Self {
            pending: Pending::default(),
            proven: AtomicBool::new(false),
            rtt,
            penalty: Penalty::default(),
            tally: Tally::default(),
            total,
            swallowed: Mutex::default(),
        }
    }

    /// Counts a request that the endpoint has from `since` on.
    pub(crate) fn start(self: &Arc<Self>, since: Instant) -> InFlight {
        self.pending.start();
        if let Some(total) = &self.total {
            total.fetch_add(1, Ordering::Relaxed);
        }
        InFlight { load: Arc::clone(self), since, outcome: Outcome::Open, is_answered: false }
    }

    /// Requests whose answer has not ended.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.count().requests
    }

    /// Requests whose answer has not ended, on all endpoints that count together with this one.
    pub(crate) fn total(&self) -> u32 {
        self.total.as_ref().map_or_else(|| self.pending(), |total| total.load(Ordering::Relaxed))
    }

    /// It answered at least once, or owes nobody an answer.
    pub(crate) fn is_trusted(&self, now: Instant) -> bool {
        self.proven.load(Ordering::Relaxed) || self.pending() == 0 && !self.is_swallowing(now)
    }

    /// It has never answered, and a caller gave up on it not long ago.
    pub(crate) fn is_swallowing(&self, now: Instant) -> bool {
        let swallowed = || self.swallowed.lock().is_some_and(|at| now.saturating_duration_since(at) < DISTRUST);
        !self.proven.load(Ordering::Relaxed) && swallowed()
    }

    pub(crate) fn read(&self, now: Instant) -> Reading {
        let pending = self.pending.count();
        // While it owes an answer its time does not fade: else one that hangs would look the faster the longer it does.
        let rtt = self.rtt.as_ref().and_then(|rtt| if pending.unanswered > 0 { rtt.last() } else { rtt.read(now) });
        Reading { pending: f64::from(pending.requests), penalty: self.penalty.left(now), rtt: rtt.map(f64::from) }
    }

    /// The outcomes since they were last taken.
    pub(crate) fn take_counts(&self) -> Counts {
        self.tally.take()
    }

    /// Counts a request that got no answer: a failure, and a time that an answer takes at least.
    fn punish(&self, since: Instant, now: Instant) {
        self.penalty.add(now);
        if let Some(rtt) = &self.rtt {
            rtt.raise(now, now.saturating_duration_since(since));
        }
    }
}

impl InFlight {
    /// The endpoint has begun to answer.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.prove();
        self.outcome = Outcome::Answered;
        if let Some(rtt) = &self.load.rtt {
            rtt.observe(now, now.saturating_duration_since(self.since));
        }
    }

    /// The endpoint has answered that it failed; how fast it did does not count.
    pub(crate) fn answered_with_failure(&mut self, now: Instant) {
        self.prove();
        self.failed(now);
    }

    /// The endpoint failed the request. If its answer had begun, how long that took is known already: the age of
    /// a stream says nothing about it.
    pub(crate) fn failed(&mut self, now: Instant) {
        match std::mem::replace(&mut self.outcome, Outcome::Failed) {
            Outcome::Failed => {}
            Outcome::Answered => self.load.penalty.add(now),
            Outcome::Open | Outcome::Excused => self.load.punish(self.since, now),
        }
    }

    /// The request's time was over before the endpoint began to answer. One that never did is not trusted after it.
    pub(crate) fn expired(&mut self, now: Instant) {
        if !self.load.proven.load(Ordering::Relaxed) {
            *self.load.swallowed.lock() = Some(now);
        }
        self.failed(now);
    }

    /// It did not come to an answer, and the endpoint is not to blame.
    pub(crate) fn excused(&mut self) {
        self.outcome = Outcome::Excused;
    }

    fn prove(&mut self) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.load.pending.answer();
        }
        // Read first: a store would take the cache line from the other callers each time.
        if !self.load.proven.load(Ordering::Relaxed) {
            self.load.proven.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.pending.end(self.is_answered);
        if let Some(total) = &self.load.total {
            total.fetch_sub(1, Ordering::Relaxed);
        }
        match self.outcome {
            Outcome::Answered => self.load.tally.count(true),
            Outcome::Failed => self.load.tally.count(false),
            Outcome::Excused => {}
            Outcome::Open if self.load.proven.load(Ordering::Relaxed) => self.load.punish(self.since, Instant::now()),
            Outcome::Open => *self.load.swallowed.lock() = Some(Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Arc<Load> {
        Arc::new(Load::new(LoadMetric::peak_ewma(), Instant::now(), None))
    }

    fn penalty(load: &Load) -> f64 {
        load.read(Instant::now()).penalty
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_costs_more_than_a_few_requests_and_is_forgotten() {
        let load = load();
        load.start(Instant::now()).failed(Instant::now());
        assert_eq!(load.pending(), 0);
        assert!(penalty(&load) > 5.0);
        tokio::time::advance(penalty::HALF_LIFE * 5).await;
        assert!(penalty(&load) == 0.0);
    }

    #[test]
    fn an_endpoint_is_trusted_with_one_request_until_it_answers() {
        let load = load();
        let now = Instant::now();
        assert!(load.is_trusted(now));
        let mut request = load.start(now);
        assert!(!load.is_trusted(now));
        request.answered(now);
        assert!(load.is_trusted(now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_swallowed_its_first_request_is_tried_again_much_later() {
        let load = load();
        drop(load.start(Instant::now()));
        assert!(!load.is_trusted(Instant::now()));
        tokio::time::advance(DISTRUST).await;
        assert!(load.is_trusted(Instant::now()));
    }

    #[test]
    fn an_endpoint_whose_first_request_ran_out_of_time_is_not_trusted_with_another() {
        let load = load();
        let now = Instant::now();
        load.start(now).expired(now);
        assert!(!load.is_trusted(now) && load.is_swallowing(now));
        load.start(now).answered(now);
        load.start(now).expired(now);
        assert!(load.is_trusted(now), "it has answered before");
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_on_a_proven_endpoint_costs_it_what_a_failure_does_and_the_time_waited() {
        let load = load();
        load.start(Instant::now()).answered(Instant::now());
        let request = load.start(Instant::now());
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(request);
        assert!(load.is_trusted(Instant::now()) && penalty(&load) > 5.0);
        assert!(load.read(Instant::now()).rtt.unwrap() > 1.9e9);
        assert_eq!(load.take_counts(), Counts { succeeded: 1, failed: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_failure_does_not_make_an_endpoint_look_fast() {
        let load = load();
        let slow = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        load.start(slow).answered(Instant::now());
        let before = load.read(Instant::now()).rtt;
        for _ in 0..100 {
            load.start(Instant::now()).answered_with_failure(Instant::now());
        }
        assert_eq!(load.read(Instant::now()).rtt, before);
        assert_eq!(load.take_counts(), Counts { succeeded: 1, failed: 100 });
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_stream_that_breaks_does_not_count_as_the_time_to_an_answer() {
        let load = load();
        let mut stream = load.start(Instant::now());
        stream.answered(Instant::now());
        tokio::time::advance(Duration::from_secs(3600)).await;
        let before = load.read(Instant::now()).rtt;
        stream.failed(Instant::now());
        assert_eq!(load.read(Instant::now()).rtt, before);
        assert!(penalty(&load) > 5.0);
        drop(stream);
        assert_eq!(load.take_counts(), Counts { succeeded: 0, failed: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_an_endpoint_fades_unless_it_owes_an_answer() {
        let load = load();
        let since = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        load.start(since).answered(Instant::now());
        let rtt = || load.read(Instant::now()).rtt.unwrap() / 1e6;
        let hanging = load.start(Instant::now());
        tokio::time::advance(Duration::from_secs(600)).await;
        assert!(rtt() > 99.0, "{} ms", rtt());
        drop(hanging);
        assert!(rtt() > 100_000.0, "its caller has waited in vain for 10 min");
        let mut stream = load.start(Instant::now());
        stream.answered(Instant::now());
        let before = rtt();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(rtt() < before / 100.0, "an answer that lasts is none that is owed");
        drop(stream);
    }

    #[test]
    fn pending_requests_take_no_account_of_time() {
        let load = Arc::new(Load::new(LoadMetric::pending_requests(), Instant::now(), None));
        load.start(Instant::now()).answered(Instant::now() + Duration::from_secs(5));
        assert_eq!(load.read(Instant::now()).rtt, None);
    }
}
