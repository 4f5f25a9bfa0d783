//! Requests, as many at a time as there are callers, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_examples::greeter::GreetRequest;
use registry_examples::greeter::greeter_client::GreeterClient;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_discovery::{GrpcChannel, ServedBy};

use crate::greeter::SERVICE;

/// A caller's pause between two requests, so that the run shows something else than a busy machine.
const PAUSE: Duration = Duration::from_millis(4);
/// Latencies are counted in buckets, each a tenth wider than the one before: 10 µs to over a minute.
const BUCKETS: usize = 170;
const NARROWEST: Duration = Duration::from_micros(10);
const WIDENING: f64 = 1.1;

/// Callers that run until they are stopped.
pub(crate) struct Traffic {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    callers: TaskTracker,
}

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) served: BTreeMap<String, Served>,
    /// Failures by the instance that had the request; under an empty name if none had.
    pub(crate) failed: BTreeMap<String, Failed>,
}

/// The requests that one instance answered.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    buckets: [u64; BUCKETS],
}

/// The requests that failed at one instance.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) requests: u64,
    pub(crate) last: String,
}

impl Traffic {
    pub(crate) fn start(channel: &GrpcChannel, callers: usize, tally: Arc<Mutex<Tally>>) -> Self {
        let traffic = Self { tally, stop: CancellationToken::new(), callers: TaskTracker::new() };
        for caller in 0..callers {
            let client = GreeterClient::new(channel.clone());
            traffic.callers.spawn(call(caller, client, Arc::clone(&traffic.tally), traffic.stop.clone()));
        }
        traffic.callers.close();
        traffic
    }

    /// Waits until each of these instances has answered `more` requests from now on.
    pub(crate) async fn served(&self, ids: &[&str], more: u64) {
        let requests = |id: &&str| self.tally.lock().served.get(*id).map_or(0, |served| served.requests);
        let goals: Vec<_> = ids.iter().map(|id| requests(id) + more).collect();
        while ids.iter().zip(&goals).any(|(id, goal)| requests(id) < *goal) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets the requests under way end, and sums up.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        self.callers.wait().await;
        self.tally.lock().clone()
    }
}

async fn call(
    caller: usize,
    mut client: GreeterClient<GrpcChannel>,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let since = Instant::now();
        let result = client.greet(GreetRequest { name: format!("caller {caller}") }).await;
        let took = since.elapsed();
        match result {
            Ok(response) => {
                let served = response.extensions().get::<ServedBy>();
                let id = served.map_or(String::new(), |served| served.target().key().id().to_owned());
                tally.lock().served.entry(id).or_default().count(took);
            }
            Err(status) => tally.lock().fail(&status),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Tally {
    fn fail(&mut self, status: &tonic::Status) {
        // The balancer's errors begin with the endpoint: `greeter/<id> at <address>`.
        let place = status.message().split_once(" at ").map_or("", |(place, _)| place);
        let id = place.strip_prefix(SERVICE).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let failed = self.failed.entry(id.to_owned()).or_insert(Failed { requests: 0, last: String::new() });
        failed.requests += 1;
        failed.last = format!("{:?}: {}", status.code(), status.message());
    }

    pub(crate) fn requests(&self) -> u64 {
        self.served.values().map(|served| served.requests).sum::<u64>() + self.failures()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().map(|failed| failed.requests).sum()
    }
}

impl Default for Served {
    fn default() -> Self {
        Self { requests: 0, buckets: [0; BUCKETS] }
    }
}

impl Served {
    fn count(&mut self, took: Duration) {
        let times = took.as_secs_f64() / NARROWEST.as_secs_f64();
        let bucket = times.max(1.0).log(WIDENING) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.requests += 1;
    }

    /// The time within which 99 of 100 requests were answered, to a tenth.
    pub(crate) fn p99(&self) -> Duration {
        let mut left = self.requests / 100;
        for (bucket, &count) in self.buckets.iter().enumerate().rev() {
            if count > left {
                return NARROWEST.mul_f64(WIDENING.powi(bucket as i32 + 1));
            }
            left -= count;
        }
        Duration::ZERO
    }
}
