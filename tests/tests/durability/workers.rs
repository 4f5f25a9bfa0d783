//! The clients of a load: each has one request under way, and ends when the server is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::PutRequest;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_tests::Client;
use registry_tests::requests::{Operation, compare, delete, key, put, txn};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::compactions::Compactions;
use crate::leases::{Kept, Leases};
use crate::load::TTLS;
use registry_tests::ledger::{Change, Ledger};

/// The counter that some share: each reads it, and sets it if nobody else did meanwhile.
pub(crate) const COUNTER: &str = "counter";
/// Keys of each putter.
const KEYS: usize = 5;
/// Before another counts, at most.
const COUNT_PAUSE: Duration = Duration::from_millis(5);
/// Between two leases, two renewals of all, and two compactions, at most.
const LEASE_PAUSE: Duration = Duration::from_millis(300);
/// Leases of the longest TTL that are left in peace.
const LONG_LEASES: usize = 8;

/// One client.
#[derive(Debug)]
pub(crate) struct Worker {
    client: Client,
    /// Its sender is dropped when the server is gone.
    alive: watch::Receiver<()>,
    ledger: Arc<Ledger>,
    leases: Arc<Leases>,
    random: fastrand::Rng,
}

/// The server is gone.
#[derive(Debug)]
pub(crate) struct Crashed;

/// What a client does until then.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), Crashed>> + Send>>;

impl From<Status> for Crashed {
    /// An answer to a request is none of a server that is gone: no request here is to be refused.
    fn from(status: Status) -> Self {
        let refusals = [
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::FailedPrecondition,
            Code::OutOfRange,
            Code::ResourceExhausted,
        ];
        assert!(!refusals.contains(&status.code()), "refused: {status}");
        Self
    }
}

/// Does a client's work to its end.
pub(crate) async fn until_crash(work: impl Future<Output = Result<(), Crashed>>) {
    drop(work.await);
}

impl Worker {
    pub(crate) fn new(
        client: Client,
        alive: watch::Receiver<()>,
        ledger: Arc<Ledger>,
        leases: Arc<Leases>,
        random: fastrand::Rng,
    ) -> Self {
        Self { client, alive, ledger, leases, random }
    }

    /// A value like no other, of one sector or some.
    fn value(&mut self) -> Bytes {
        format!("{}/", self.ledger.token()).repeat(1 + self.random.usize(..40)).into()
    }

    pub(crate) async fn keep_putting(mut self, number: usize) -> Result<(), Crashed> {
        loop {
            let key = format!("put/{number}/{}", self.random.usize(..KEYS));
            if self.random.u8(..4) == 0 {
                self.delete(&key).await?;
            } else {
                let value = self.value();
                self.put(&key, value, 0).await?;
            }
        }
    }

    async fn put(&self, key: &str, value: Bytes, lease: i64) -> Result<(), Crashed> {
        let asked = self.ledger.ask(vec![Change::put(key, &value)]);
        match self.client.try_put(PutRequest { lease, ..put(key, value) }).await {
            Ok(answer) => self.ledger.acknowledge(asked, answer.header.expect("a header").revision),
            // On a machine as busy as that a short lease is over already.
            Err(status) if lease != 0 && status.code() == Code::NotFound => self.ledger.refused(asked),
            Err(status) => return Err(status.into()),
        }
        Ok(())
    }

    /// A pause while the server lives.
    async fn pause(&mut self, most: Duration) -> Result<(), Crashed> {
        let pause = most.mul_f64(self.random.f64());
        if timeout(pause, self.alive.changed()).await.is_ok() { Err(Crashed) } else { Ok(()) }
    }

    async fn delete(&self, key: &str) -> Result<(), Crashed> {
        let asked = self.ledger.ask(vec![Change::delete(key)]);
        let answer = self.client.delete(delete(key)).await?;
        match answer.deleted {
            0 => self.ledger.refused(asked),
            _ => self.ledger.acknowledge(asked, answer.header.expect("a header").revision),
        }
        Ok(())
    }

    pub(crate) async fn keep_pairing(mut self, number: usize) -> Result<(), Crashed> {
        let sides = ["left", "right"].map(|side| format!("pair/{number}/{side}"));
        loop {
            let value = self.value();
            let asked = self.ledger.ask(sides.iter().map(|side| Change::put(side, &value)).collect());
            let request = txn(sides.iter().map(|side| put(side, value.clone()).op()).collect());
            let answer = self.client.txn(request).await?;
            self.ledger.acknowledge(asked, answer.header.expect("a header").revision);
        }
    }

    pub(crate) async fn keep_counting(mut self) -> Result<(), Crashed> {
        loop {
            let found = self.client.try_range(key(COUNTER)).await?;
            let found = found.kvs.into_messages().expect("key-values decode").pop();
            let (count, revision) = found.map_or((0, 0), |kv| (counted(&kv.value), kv.mod_revision));
            let value = Bytes::from(format!("{} {}", count + 1, self.ledger.token()));
            let asked = self.ledger.ask(vec![Change::put(COUNTER, &value)]);
            let mut request = txn(vec![put(COUNTER, value).op()]);
            request.compare = vec![compare(COUNTER, CompareResult::Equal, TargetUnion::ModRevision(revision))];
            let answer = self.client.txn(request).await?;
            if answer.succeeded {
                self.ledger.acknowledge(asked, answer.header.expect("a header").revision);
            } else {
                self.ledger.refused(asked);
            }
            // The others count, too.
            self.pause(COUNT_PAUSE).await?;
        }
    }

    pub(crate) async fn keep_granting(mut self) -> Result<(), Crashed> {
        loop {
            let kept = [Kept::Never, Kept::Never, Kept::Sometimes][self.random.usize(..3)];
            let ttl = TTLS[self.random.usize(..TTLS.len())];
            self.grant(ttl, kept).await?;
            if let Some(lease) = self.leases.to_revoke(LONG_LEASES) {
                self.revoke(lease).await?;
            }
            self.pause(LEASE_PAUSE).await?;
        }
    }

    /// Grants a lease and puts two keys under it.
    pub(crate) async fn grant(&mut self, ttl: i64, kept: Kept) -> Result<(), Crashed> {
        let id = self.leases.ask(ttl, kept);
        let asked_at = Instant::now();
        self.client.grant(id, ttl).await?;
        self.leases.granted(id, asked_at);
        for key in leased_keys(id) {
            let value = self.value();
            self.put(&key, value, id).await?;
        }
        self.leases.is_whole(id);
        Ok(())
    }

    async fn revoke(&self, lease: i64) -> Result<(), Crashed> {
        let asked = self.ledger.ask(leased_keys(lease).map(Change::delete).into());
        let revision = self.client.revoke(lease).await?;
        self.ledger.acknowledge(asked, revision);
        Ok(())
    }

    /// Compacts again and again, to a revision that is known.
    pub(crate) async fn keep_compacting(mut self, compactions: Arc<Compactions>, known: i64) -> Result<(), Crashed> {
        loop {
            self.pause(LEASE_PAUSE).await?;
            let Some(revision) = compactions.ask(known, &mut self.random) else { return Ok(()) };
            self.client.compact(revision).await?;
            compactions.done(revision);
        }
    }

    pub(crate) async fn keep_renewing(mut self, others: Vec<i64>) -> Result<(), Crashed> {
        let mut stream = self.client.try_keep_alive().await?;
        loop {
            for id in self.leases.kept(Kept::Always).into_iter().chain(others.iter().copied()) {
                let asked = Instant::now();
                self.leases.renewing(id);
                let Ok(Some(answer)) = stream.try_renew(id).await else { return Err(Crashed) };
                self.leases.renewed(id, answer.ttl, asked);
            }
            self.pause(LEASE_PAUSE).await?;
        }
    }
}

/// The count in a counter's value.
pub(crate) fn counted(value: &[u8]) -> i64 {
    let value = str::from_utf8(value).expect("we wrote it");
    value.split(' ').next().and_then(|count| count.parse().ok()).expect("it begins with the count")
}

fn leased_keys(lease: i64) -> [String; 2] {
    ["a", "b"].map(|part| format!("leased/{lease}/{part}"))
}
