//! Requests at a rate that does not wait for answers, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::echo::echo_client::EchoClient;
use registry_tests::echo::{Answer, Question};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Extensions, Status};
use tower_discovery::{GrpcChannel, ServedBy};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(5);
/// One request of so many is a stream.
const STREAM_EVERY: u64 = 5;
/// A stream has so many answers, with this pause before each, so that many are under way when a server ends.
const ANSWERS: u32 = 8;
const PAUSE_MS: u32 = 25;
/// What a unary call takes at the server.
const WORK_MS: u32 = 2;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// With so many requests under way the machine does not carry the rate.
const MOST_UNDER_WAY: usize = 20_000;
/// So many failures are shown.
const SHOWN: usize = 10;

/// Requests that go on until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    requests: TaskTracker,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) unary: Vec<Duration>,
    pub(crate) streams: Vec<Duration>,
    /// By instance and its incarnation.
    pub(crate) served: BTreeMap<(String, i64), u64>,
    pub(crate) failures: u64,
    pub(crate) shown: Vec<String>,
}

impl Load {
    /// So many requests a second, over the channels in turn.
    pub(crate) fn start(channels: &[GrpcChannel], rate: u64) -> Self {
        let load = Self { tally: Arc::default(), stop: CancellationToken::new(), requests: TaskTracker::new() };
        let clients: Vec<_> = channels.iter().cloned().map(EchoClient::new).collect();
        let (tally, requests) = (Arc::clone(&load.tally), load.requests.clone());
        load.requests.spawn(load.stop.clone().run_until_cancelled_owned(send(clients, rate, tally, requests)));
        load
    }

    /// Lets the requests under way end, and sums up.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        self.requests.close();
        self.requests.wait().await;
        std::mem::take(&mut self.tally.lock())
    }

    /// Whether this instance has answered.
    pub(crate) fn is_served_by(&self, id: &str, incarnation: i64) -> bool {
        self.tally.lock().served.contains_key(&(id.to_owned(), incarnation))
    }
}

async fn send(clients: Vec<EchoClient<GrpcChannel>>, rate: u64, tally: Arc<Mutex<Tally>>, requests: TaskTracker) {
    let began = Instant::now();
    let permits = Arc::new(Semaphore::new(MOST_UNDER_WAY));
    for (number, client) in (0_u64..).zip(clients.iter().cycle()) {
        while began.elapsed().as_secs_f64() * (rate as f64) < number as f64 {
            sleep(TICK).await;
        }
        let permit = Arc::clone(&permits).try_acquire_owned().expect("the machine carries the rate");
        let (mut client, tally) = (client.clone(), Arc::clone(&tally));
        requests.spawn(async move {
            let since = Instant::now();
            let is_stream = number % STREAM_EVERY == 0;
            let asking = async { if is_stream { tell(&mut client).await } else { ask(&mut client).await } };
            let result = timeout(PATIENCE, asking).await;
            let result = result.unwrap_or_else(|_| Err(Status::deadline_exceeded("the test's patience is over")));
            tally.lock().count(is_stream, since.elapsed(), &result);
            drop(permit);
        });
    }
}

async fn ask(client: &mut EchoClient<GrpcChannel>) -> Result<Extensions, Status> {
    let answer = client.ask(Question { answers: 1, pause_ms: WORK_MS }).await?;
    Ok(answer.extensions().clone())
}

/// A stream that ends before its last answer has failed.
async fn tell(client: &mut EchoClient<GrpcChannel>) -> Result<Extensions, Status> {
    let answers = client.tell(Question { answers: ANSWERS, pause_ms: PAUSE_MS }).await?;
    let extensions = answers.extensions().clone();
    let mut answers = answers.into_inner();
    for number in 1..=ANSWERS {
        if answers.message().await? != Some(Answer { number }) {
            return Err(Status::data_loss(format!("no answer {number} on a stream")));
        }
    }
    match answers.message().await? {
        None => Ok(extensions),
        Some(_) => Err(Status::data_loss("more answers than asked for on a stream")),
    }
}

impl Tally {
    fn count(&mut self, is_stream: bool, took: Duration, result: &Result<Extensions, Status>) {
        match result {
            Ok(extensions) => {
                let served = extensions.get::<ServedBy>().expect("every answer says who gave it");
                let key = served.target().key();
                *self.served.entry((key.id().to_owned(), key.incarnation())).or_default() += 1;
                if is_stream { &mut self.streams } else { &mut self.unary }.push(took);
            }
            Err(status) => {
                self.failures += 1;
                if self.shown.len() < SHOWN {
                    self.shown.push(format!("{} after {took:?}: {status}", if is_stream { "stream" } else { "unary" }));
                }
            }
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        (self.unary.len() + self.streams.len()) as u64 + self.failures
    }
}

/// The time within which this share of them lies.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * share).ceil() as usize;
    times.get(index.saturating_sub(1)).copied().unwrap_or_default()
}
