//! One of twenty endpoints is ten times slower than the others.
//!
//! Requests come at random moments, whether earlier ones are answered or not (open loop), half as many as all
//! endpoints together can serve. Time is virtual. `benches/slow_endpoint` is the same over real connections.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::{Service, ServiceExt};
use tower_discovery::{BoxError, DiscoveryLayer, ServedBy, Target};
use tower_layer::Layer;

use crate::kit::{instance, pay};

const ENDPOINTS: u16 = 20;
/// Requests that an endpoint serves at the same time; others queue there.
const WORKERS: usize = 4;
const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(200);
/// Half of (19 × 4 / 20 ms + 4 / 200 ms).
const REQUESTS_A_SECOND: f64 = 1_910.0;
const REQUESTS: usize = 20_000;

/// Makes connections to endpoints; the one on port 1 is slow.
#[derive(Clone)]
struct Works;

#[derive(Clone)]
struct Work {
    workers: Arc<Semaphore>,
    takes: Duration,
}

impl Work {
    fn new(port: u16) -> Self {
        Self { workers: Arc::new(Semaphore::new(WORKERS)), takes: if port == 1 { SLOW } else { FAST } }
    }
}

impl Service<Target> for Works {
    type Response = Work;
    type Error = Infallible;
    type Future = Ready<Result<Work, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        ready(Ok(Work::new(target.endpoint().port())))
    }
}

impl<B> Service<Request<B>> for Work {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let work = self.clone();
        Box::pin(async move {
            let _worker = work.workers.acquire().await?;
            tokio::time::sleep(work.takes).await;
            Ok(Response::new(Full::default()))
        })
    }
}

/// Sends the requests and answers how long each took, sorted.
async fn open_loop<F>(mut send: impl FnMut() -> F) -> Vec<Duration>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut rng = fastrand::Rng::with_seed(3);
    let mut due = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        due += Duration::from_secs_f64(-rng.f64().max(1e-12).ln() / REQUESTS_A_SECOND);
        tokio::time::sleep_until(due).await;
        let request = send();
        tasks.spawn(async move {
            request.await;
            due.elapsed()
        });
    }
    let mut times = tasks.join_all().await;
    times.sort();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_gets_two_percent_and_p99_is_half_of_round_robins() {
    let (view, mut publisher) = pay();
    publisher.replace((1..=ENDPOINTS).map(|port| instance(&format!("{port:02}"), port)));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(Works);
    channel.wait_until(|targets| targets.len() == usize::from(ENDPOINTS)).await;
    let served = Arc::new(parking_lot::Mutex::new(HashMap::<u16, usize>::new()));
    let ours = open_loop(|| {
        let answer = channel.clone().oneshot(Request::new(Full::<Bytes>::default()));
        let served = Arc::clone(&served);
        async move {
            let answer = answer.await.unwrap();
            let port = answer.extensions().get::<ServedBy>().unwrap().target().endpoint().port();
            *served.lock().entry(port).or_default() += 1;
        }
    })
    .await;

    let works: Vec<_> = (1..=ENDPOINTS).map(Work::new).collect();
    let mut turns = works.iter().cycle();
    let round_robin = open_loop(|| {
        let answer = turns.next().unwrap().clone().oneshot(Request::new(Full::<Bytes>::default()));
        async move { drop(answer.await.unwrap()) }
    })
    .await;

    let (ours, theirs) = (p99(&ours), p99(&round_robin));
    let to_slow = served.lock().get(&1).copied().unwrap_or(0);
    assert!(ours * 2 <= theirs, "p99 {ours:?}, with round robin {theirs:?}");
    assert!(to_slow * 50 <= REQUESTS, "{to_slow} of {REQUESTS} requests went to the slow endpoint");
    assert!(to_slow > 0, "it is tried from time to time");
    println!("p99 {ours:?}, with round robin {theirs:?}; {to_slow} of {REQUESTS} to the slow endpoint");
}
