//! Clients that retry as etcd's own does: reads always, writes only when no server took them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use registry_tests::budget::SOON;
use registry_tests::ledger::{Change, Ledger};
use registry_tests::requests::{key, put};
use registry_tests::{Client, eventually, within};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, ConnectError, Status};

use crate::load::Load;

const WRITERS: usize = 4;
const READERS: usize = 2;

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    done: AtomicUsize,
    /// Asked again elsewhere.
    retried: AtomicUsize,
    /// Not to be asked again, as nobody knows what became of them: how often, by what was said.
    failed: Mutex<BTreeMap<String, usize>>,
}

impl Counts {
    /// Waits until so many requests more are answered.
    pub(crate) async fn wait_for(&self, count: usize) {
        let enough = self.done.load(Ordering::Relaxed) + count;
        let done = async || self.done.load(Ordering::Relaxed) >= enough;
        eventually(SOON, "requests are answered", done).await;
    }

    /// How many requests failed.
    pub(crate) fn failed(&self) -> usize {
        self.failed.lock().values().sum()
    }
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
/// What h2 says of requests that came after the last one that the server takes, as it stops: it has ignored them.
const NOT_TAKEN: &str = "connection error received: not a result of an error";

/// The request found no connection, or none any more, or a server that stops has not taken it: etcd's client, too,
/// sends it again.
fn was_not_taken(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let text = error.to_string();
        let is_closed = status.code() == Code::Cancelled && text == NOT_SENT;
        if is_closed || text == NOT_TAKEN || error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

impl Careful {
    /// Asks, again as long as that is safe; none if it is not.
    async fn ask<T, F>(&mut self, kind: &str, is_safe: fn(&Status) -> bool, ask: impl Fn(Client) -> F) -> Option<T>
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
                        *self.counts.failed.lock().entry(format!("{kind}: {status:?}")).or_default() += 1;
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
            if let Some(answer) = self.ask("put", was_not_taken, put).await {
                self.ledger.acknowledge(asked, answer.header.expect("every answer has a header").revision);
            }
        }
    }

    async fn keep_reading(mut self) {
        while !self.end.is_cancelled() {
            let told = self.ledger.told();
            let read = |client: Client| async move { client.try_range(key("put/0/0")).await };
            let answer = self.ask("range", |_| true, read).await.expect("a read is asked again");
            assert!(answer.header.expect("every answer has a header").revision >= told, "a stale read");
        }
    }
}

/// Clients that begin with different members, and what ends them.
pub(crate) fn start_clients(clients: &[Client], load: &Load, counts: &Arc<Counts>) -> (JoinSet<()>, CancellationToken) {
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
