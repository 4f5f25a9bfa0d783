//! A leader that is told to stop under load: who retries only what is safe should notice little of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use registry_tests::budget::SOON;
use registry_tests::ledger::{Change, Ledger};
use registry_tests::requests::{key, put};
use registry_tests::{Client, eventually, within};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, ConnectError, Status};

use crate::load::Load;
use crate::{settings, start};

/// Whether a stop of the registry's leader must cost no request at all. etcd's costs some.
const REGISTRY_LOSES_NONE: bool = false;
const ROUNDS: usize = 3;
const WRITERS: usize = 4;
const READERS: usize = 2;
/// Requests before and after each stop.
const REQUESTS: usize = 300;

/// What became of all requests.
#[derive(Debug, Default)]
struct Counts {
    done: AtomicUsize,
    /// Asked again elsewhere.
    retried: AtomicUsize,
    /// Not to be asked again, as nobody knows what became of them.
    failed: AtomicUsize,
}

/// A client with all endpoints, of which it uses one until that has no answer.
#[derive(Debug)]
struct Careful {
    clients: Vec<Client>,
    at: usize,
    counts: Arc<Counts>,
    ledger: Arc<Ledger>,
    end: CancellationToken,
}

/// What hyper says of requests that were not sent yet when their connection was closed; of one that was sent
/// it says something else.
const NOT_SENT: &str = "connection closed";

/// The request was not sent: there was no connection, or none any more.
fn found_no_connection(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() || (status.code() == Code::Cancelled && error.to_string() == NOT_SENT) {
            return true;
        }
        source = error.source();
    }
    false
}

impl Careful {
    /// Asks, again as long as that is safe; none if it is not.
    #[expect(clippy::print_stdout, reason = "a failure shows it")]
    async fn ask<T, F>(&mut self, is_safe: fn(&Status) -> bool, ask: impl Fn(Client) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        loop {
            match within(ask(self.clients[self.at].clone())).await {
                Ok(answer) => {
                    self.counts.done.fetch_add(1, Ordering::Relaxed);
                    return Some(answer);
                }
                Err(status) => {
                    self.at = (self.at + 1) % self.clients.len();
                    if !is_safe(&status) {
                        println!("failed: {status}");
                        self.counts.failed.fetch_add(1, Ordering::Relaxed);
                        return None;
                    }
                    self.counts.retried.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    async fn keep_writing(mut self, number: usize) {
        let key = format!("put/{number}/0");
        while !self.end.is_cancelled() {
            let value = Bytes::from(self.ledger.token().to_string());
            let asked = self.ledger.ask(vec![Change::put(&key, &value)]);
            let put = |client: Client| {
                let request = put(&key, value.clone());
                async move { client.try_put(request).await }
            };
            if let Some(answer) = self.ask(found_no_connection, put).await {
                self.ledger.acknowledge(asked, answer.header.expect("every answer has a header").revision);
            }
        }
    }

    async fn keep_reading(mut self) {
        while !self.end.is_cancelled() {
            let told = self.ledger.told();
            let read = |client: Client| async move { client.try_range(key("put/0/0")).await };
            let answer = self.ask(|_| true, read).await.expect("a read is asked again");
            assert!(answer.header.expect("every answer has a header").revision >= told, "a stale read");
        }
    }
}

/// Clients that begin with different members.
fn start_clients(clients: &[Client], load: &Load, counts: &Arc<Counts>) -> (JoinSet<()>, CancellationToken) {
    let end = CancellationToken::new();
    let careful = |number: usize| Careful {
        clients: clients.to_vec(),
        at: number % clients.len(),
        counts: counts.clone(),
        ledger: load.ledger.clone(),
        end: end.clone(),
    };
    let mut tasks = JoinSet::new();
    (0..WRITERS).for_each(|number| drop(tasks.spawn(careful(number).keep_writing(number))));
    (0..READERS).for_each(|number| drop(tasks.spawn(careful(number).keep_reading())));
    (tasks, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_under_load_costs_few_requests_and_no_write_that_was_acknowledged() {
    let Some(mut cluster) = start(3).await else { return };
    let (mut random, rounds) = (settings::random(), settings::rounds("STOP_ROUNDS", ROUNDS));
    let mut load = Load::new(&cluster, &mut random);
    let counts = Arc::new(Counts::default());
    for _ in 0..rounds {
        let (tasks, end) = start_clients(&cluster.clients(), &load, &counts);
        let more = async || {
            let enough = counts.done.load(Ordering::Relaxed) + REQUESTS;
            let done = async || counts.done.load(Ordering::Relaxed) >= enough;
            eventually(SOON, "requests are answered", done).await;
        };
        more().await;
        let leader = cluster.wait_for_leader().await;
        let status = cluster.stop(leader).await;
        assert!(status.success() || !cluster.is_registry(), "{status}");
        more().await;
        cluster.restart(leader).await;
        more().await;
        end.cancel();
        tasks.join_all().await;
        load.check(&cluster).await;
    }
    load.check_all(&cluster).await;
    println!("{rounds} stops of a leader: {counts:?}");
    let failed = counts.failed.load(Ordering::Relaxed);
    assert!(failed == 0 || !(REGISTRY_LOSES_NONE && cluster.is_registry()), "{failed} requests failed");
}
