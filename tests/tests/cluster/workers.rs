//! The clients of a load: each has one request under way, stays with a member while that answers, and goes to
//! another one when it does not. What had no answer is never asked for again: it may have happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_proto::etcdserverpb::{RangeResponse, ResponseHeader};
use registry_tests::Client;
use registry_tests::ledger::{Asked, Change, Ledger};
use registry_tests::requests::{Operation, compare, key, put, txn};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::readings::{Reading, Readings};

/// The counter that some share: each reads it, and sets it if nobody else did meanwhile.
pub(crate) const COUNTER: &str = "counter";
/// Keys of each putter.
const KEYS: usize = 5;
/// What an answer may take. A cluster that elects a leader takes less, and a member without one may take more.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two requests of a client, at most: the suite is about faults, and not about speed.
const PAUSE: Duration = Duration::from_millis(10);
/// One request of so many is the last one to its member, though that answers.
const STAY: usize = 100;

/// One client.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Of each member that it may work with.
    pub(crate) clients: Vec<Client>,
    /// With which one it is.
    pub(crate) at: usize,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) readings: Arc<Mutex<Readings>>,
    pub(crate) outcomes: Arc<Outcomes>,
    /// Ends the work, between two requests and within one.
    pub(crate) end: CancellationToken,
    pub(crate) random: fastrand::Rng,
}

/// What became of the requests of all clients that work together.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Writes with an answer, be it that a comparison failed.
    pub(crate) writes: AtomicUsize,
    /// Requests of any kind without one.
    pub(crate) unanswered: AtomicUsize,
}

/// Nobody knows what became of a request.
#[derive(Debug)]
pub(crate) struct NoAnswer;

/// No request here is to be refused for what it says: an error is one of a cluster with a fault.
fn no_answer(status: &Status) -> NoAnswer {
    let refusals = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::OutOfRange,
        Code::PermissionDenied,
        Code::Unimplemented,
    ];
    assert!(!refusals.contains(&status.code()), "refused: {status}");
    NoAnswer
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.expect("every answer has a header").revision
}

impl Worker {
    /// Puts values into keys of its own until the end.
    pub(crate) async fn keep_putting(mut self, number: usize) {
        while self.goes_on().await {
            let key = format!("put/{number}/{}", self.random.usize(..KEYS));
            let value = self.value();
            let answered = self.put(&key, value).await;
            self.follow(answered.is_ok());
        }
    }

    /// Puts a value into two keys at once until the end.
    pub(crate) async fn keep_pairing(mut self, number: usize) {
        let sides = ["left", "right"].map(|side| format!("pair/{number}/{side}"));
        while self.goes_on().await {
            let value = self.value();
            let asked = self.ledger.ask(sides.iter().map(|side| Change::put(side, &value)).collect());
            let request = txn(sides.iter().map(|side| put(side, value.clone()).op()).collect());
            let answer = self.answer(async |client| client.txn(request).await).await;
            self.follow(answer.is_ok());
            if let Ok(answer) = answer {
                self.acknowledge(asked, answer.header);
            }
        }
    }

    /// Counts until the end.
    pub(crate) async fn keep_counting(mut self) {
        while self.goes_on().await {
            let counted = self.count().await;
            self.follow(counted.is_ok());
        }
    }

    /// Reads until the end: what others write, and which may not contradict what anybody was told before.
    pub(crate) async fn keep_reading(mut self, putters: usize) {
        while self.goes_on().await {
            let name = format!("put/{}/{}", self.random.usize(..putters), self.random.usize(..KEYS));
            let read = self.read(&name).await;
            self.follow(read.is_ok());
        }
    }

    async fn put(&mut self, key: &str, value: Bytes) -> Result<(), NoAnswer> {
        let asked = self.ledger.ask(vec![Change::put(key, &value)]);
        let answer = self.answer(async |client| client.try_put(put(key, value)).await).await?;
        self.acknowledge(asked, answer.header);
        Ok(())
    }

    fn acknowledge(&self, asked: Asked, header: Option<ResponseHeader>) {
        self.ledger.acknowledge(asked, revision(header));
        self.outcomes.writes.fetch_add(1, Ordering::Relaxed);
    }

    async fn count(&mut self) -> Result<(), NoAnswer> {
        let found = self.read(COUNTER).await?;
        let found = found.kvs.into_messages().expect("key-values decode").pop();
        let (count, mod_revision) = found.map_or((0, 0), |kv| (counted(&kv.value), kv.mod_revision));
        let value = Bytes::from(format!("{} {}", count + 1, self.ledger.token()));
        let asked = self.ledger.ask(vec![Change::put(COUNTER, &value)]);
        let mut request = txn(vec![put(COUNTER, value).op()]);
        request.compare = vec![compare(COUNTER, CompareResult::Equal, TargetUnion::ModRevision(mod_revision))];
        let answer = self.answer(async |client| client.txn(request).await).await?;
        if answer.succeeded {
            self.acknowledge(asked, answer.header);
        } else {
            self.ledger.refused(asked);
            self.outcomes.writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A linearizable read, which is kept to be compared with the history.
    async fn read(&mut self, name: &str) -> Result<RangeResponse, NoAnswer> {
        let told = self.ledger.told();
        let answer = self.answer(async |client| client.try_range(key(name)).await).await?;
        let revision = revision(answer.header);
        assert!(revision >= told, "a stale read: of revision {revision} by member {}, after {told}", self.at);
        self.ledger.was_told(revision);
        let found = answer.kvs.clone().into_messages().expect("key-values decode").pop();
        self.readings.lock().keep(Reading { key: name.to_owned(), revision, found });
        Ok(answer)
    }

    /// Asks the member it is with.
    async fn answer<T>(&self, ask: impl AsyncFnOnce(&Client) -> Result<T, Status>) -> Result<T, NoAnswer> {
        let answered = timeout(PATIENCE, ask(&self.clients[self.at]));
        let answer = match self.end.run_until_cancelled(answered).await {
            Some(Ok(answer)) => answer.map_err(|status| no_answer(&status)),
            Some(Err(_)) | None => Err(NoAnswer),
        };
        self.outcomes.unanswered.fetch_add(usize::from(answer.is_err()), Ordering::Relaxed);
        answer
    }

    /// Stays, or goes to another member if it may.
    fn follow(&mut self, is_answered: bool) {
        if !is_answered || self.random.usize(..STAY) == 0 {
            self.at = self.random.usize(..self.clients.len());
        }
    }

    /// A pause; false at the end.
    async fn goes_on(&mut self) -> bool {
        let pause = PAUSE.mul_f64(self.random.f64());
        timeout(pause, self.end.cancelled()).await.is_err()
    }

    /// A value like no other.
    fn value(&mut self) -> Bytes {
        format!("{}/", self.ledger.token()).repeat(1 + self.random.usize(..40)).into()
    }
}

/// The count in a counter's value.
pub(crate) fn counted(value: &[u8]) -> i64 {
    let value = str::from_utf8(value).expect("we wrote it");
    value.split(' ').next().and_then(|count| count.parse().ok()).expect("it begins with the count")
}
