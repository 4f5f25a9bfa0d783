//! Requests at a rate that does not wait for answers, and what became of them. A panic in a request's task ends the task
//! that sends, whose own panic fails the test with its text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::budget::SOON;
use registry_tests::echo::echo_client::EchoClient;
use registry_tests::echo::{Answer, Question};
use registry_tests::eventually;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
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
    sending: JoinHandle<()>,
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
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), CancellationToken::new());
        let clients = channels.iter().cloned().map(EchoClient::new).collect();
        let sending = tokio::spawn(send(clients, rate, Arc::clone(&tally), stop.clone()));
        Self { tally, stop, sending }
    }

    /// Lets the requests under way end, and sums up.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        self.sending.await.expect("no task of the load panics");
        std::mem::take(&mut self.tally.lock())
    }

    /// Waits until this instance has answered.
    pub(crate) async fn reaches(&mut self, id: &str, incarnation: i64) {
        let key = (id.to_owned(), incarnation);
        let tally = &self.tally;
        let answers = eventually(SOON, "each server serves", async || tally.lock().served.contains_key(&key));
        tokio::select! {
            () = answers => {}
            ended = &mut self.sending => panic!("the load has ended: {ended:?}"),
        }
    }
}

/// Sends until `stop`, and joins all that it sent.
async fn send(clients: Vec<EchoClient<GrpcChannel>>, rate: u64, tally: Arc<Mutex<Tally>>, stop: CancellationToken) {
    let began = Instant::now();
    let mut requests = JoinSet::new();
    for (number, client) in (0_u64..).zip(clients.iter().cycle()) {
        while began.elapsed().as_secs_f64() * (rate as f64) < number as f64 && !stop.is_cancelled() {
            sleep(TICK).await;
        }
        if stop.is_cancelled() {
            break;
        }
        while let Some(ended) = requests.try_join_next() {
            ended.expect("no request panics");
        }
        assert!(requests.len() < MOST_UNDER_WAY, "the machine carries the rate");
        requests.spawn(request(client.clone(), number, Arc::clone(&tally)));
    }
    while let Some(ended) = requests.join_next().await {
        ended.expect("no request panics");
    }
}

async fn request(mut client: EchoClient<GrpcChannel>, number: u64, tally: Arc<Mutex<Tally>>) {
    let since = Instant::now();
    let is_stream = number.is_multiple_of(STREAM_EVERY);
    let asking = async { if is_stream { tell(&mut client).await } else { ask(&mut client).await } };
    let result = timeout(PATIENCE, asking).await;
    let result = result.unwrap_or_else(|_| Err(Status::deadline_exceeded("the test's patience is over")));
    tally.lock().count(is_stream, since.elapsed(), &result);
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
