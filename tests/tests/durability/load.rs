//! Everything that clients do at once: puts, deletes, transactions, counters, leases, compactions, watches.
//!
//! What the clients (`workers`) did is entered in the `ledger`, and compared with the `chronicle` after each
//! restart.

use std::sync::Arc;

use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_tests::Client;
use registry_tests::requests::{Operation, compare, put, txn};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::compactions::Compactions;
use crate::followers::Followers;
use crate::leases::{Kept, Leases};
use crate::workers::{COUNTER, Work, Worker, counted, until_crash};
use registry_tests::chronicle::Chronicle;
use registry_tests::ledger::{Change, Ledger};

/// Writers of keys of their own, which they put and delete.
const PUTTERS: usize = 3;
/// Writers of two keys each, by transactions.
const PAIRS: usize = 2;
/// Writers that share one counter, which each reads and sets if nobody else did meanwhile.
const COUNTERS: usize = 3;
/// All of them, and those that grant, renew and compact.
const WORKERS: usize = PUTTERS + PAIRS + COUNTERS + 3;
/// TTLs in seconds: checkpoints come after 1, 2, 3, 10 and 300 s.
pub(crate) const TTLS: [i64; 5] = [2, 4, 6, 20, 600];
/// The shortest TTL of a lease that is kept alive from the first to the last life, in seconds: a busy machine
/// alone may stall for some.
const SHORTEST_KEPT: i64 = 20;
/// Transactions that fill the first segment of the log, which is of 4.5 MB.
const FILLERS: usize = 80;
const FILLER_BYTES: usize = 60_000;
/// What has been done so far, over all crashes.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) compactions: Arc<Compactions>,
    pub(crate) followers: Followers,
    pub(crate) chronicle: Chronicle,
}

/// All clients of one life of the server.
#[derive(Debug)]
pub(crate) struct Clients {
    tasks: JoinSet<()>,
    /// Ends their pauses when it is dropped.
    alive: watch::Sender<()>,
}

impl Clients {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), alive: watch::Sender::new(()) }
    }

    /// The server is gone: waits until each client has read what there is to be read.
    pub(crate) async fn end(self) {
        drop(self.alive);
        self.tasks.join_all().await;
    }
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Arc::default(),
            leases: Arc::default(),
            compactions: Arc::default(),
            followers: Followers::new(),
            chronicle: Chronicle::default(),
        }
    }

    fn worker(&self, client: &Client, clients: &Clients, random: &mut fastrand::Rng) -> Worker {
        let alive = clients.alive.subscribe();
        Worker::new(client.clone(), alive, self.ledger.clone(), self.leases.clone(), random.fork())
    }

    /// What is there from the first to the last life: a log of more than a segment, and leases of each TTL, one
    /// that is kept alive and one that is not.
    pub(crate) async fn begin(&self, client: &Client, random: &mut fastrand::Rng) {
        let clients = Clients::new();
        let mut worker = self.worker(client, &clients, random);
        for _ in 0..FILLERS {
            let mut request = txn(vec![put("filler", vec![b'x'; FILLER_BYTES]).op()]);
            request.compare = vec![compare("filler", CompareResult::Greater, TargetUnion::Version(0))];
            let answer = client.txn(request).await.expect("the node serves");
            assert!(!answer.succeeded, "it fills the log and changes nothing");
        }
        for ttl in TTLS {
            for kept in [Kept::Always, Kept::Never] {
                let kept = if ttl < SHORTEST_KEPT { Kept::Never } else { kept };
                worker.grant(ttl, kept).await.expect("the node serves");
            }
        }
    }

    /// Starts what keeps leases alive, and nothing else.
    pub(crate) fn start_renewing(&self, client: &Client, random: &mut fastrand::Rng) -> Clients {
        let mut clients = Clients::new();
        let worker = self.worker(client, &clients, random);
        clients.tasks.spawn(until_crash(worker.keep_renewing(Vec::new())));
        clients
    }

    /// Starts all clients; each ends with its first error.
    pub(crate) fn start(&self, client: &Client, random: &mut fastrand::Rng) -> Clients {
        let sometimes = if random.u8(..3) == 0 { self.leases.kept(Kept::Sometimes) } else { Vec::new() };
        let mut clients = Clients::new();
        let mut workers = std::iter::repeat_with(|| self.worker(client, &clients, random)).take(WORKERS);
        let mut worker = || workers.next().expect("there are enough");
        let mut work: Vec<Work> = Vec::new();
        (0..PUTTERS).for_each(|number| work.push(Box::pin(worker().keep_putting(number))));
        (0..PAIRS).for_each(|number| work.push(Box::pin(worker().keep_pairing(number))));
        (0..COUNTERS).for_each(|_| work.push(Box::pin(worker().keep_counting())));
        work.push(Box::pin(worker().keep_granting()));
        work.push(Box::pin(worker().keep_renewing(sometimes)));
        let known = self.chronicle.head();
        work.push(Box::pin(worker().keep_compacting(self.compactions.clone(), known)));
        drop(workers);
        for work in work {
            clients.tasks.spawn(until_crash(work));
        }
        self.followers.start(client, random, &mut clients.tasks);
        clients
    }

    /// Compares all that the server has with all that it acknowledged. All clients of before have ended.
    pub(crate) async fn check(&mut self, client: &Client) {
        let compacted = self.compactions.find_out(client).await;
        for revision in self.chronicle.read_on(client, compacted).await {
            if !self.ledger.claim(&revision) {
                let changes: Vec<_> = revision.events.iter().map(Change::from).collect();
                let is_expiry = changes.iter().all(|change| change.value.is_none());
                assert!(is_expiry, "nobody wrote that, or it was applied before: {revision:?}");
                let keys: Vec<_> = changes.into_iter().map(|change| change.key).collect();
                let lease = self.chronicle.key(&keys[0]).map_or(0, |kv| kv.lease);
                self.leases.took(lease, &keys, &self.chronicle.keys_under(lease));
            }
            self.chronicle.add(revision);
        }
        // Its key is never deleted, so the version is how often it was put.
        if let Some(counter) = self.chronicle.key(COUNTER.as_bytes()) {
            assert_eq!(counted(&counter.value), counter.version, "{counter:?}");
        }
        self.ledger.settle();
        self.chronicle.compare_keys(client).await;
        self.leases.check(client, &self.chronicle).await;
        self.followers.check(&self.chronicle, &self.compactions);
    }

    /// All of it happened that this test is for.
    pub(crate) fn assert_it_was_much(&self) {
        let (writes, leases, watches) = (self.ledger.tally(), self.leases.tally(), self.followers.tally());
        let met = [
            writes.acknowledged,
            writes.found,
            leases.renewed,
            leases.expired,
            leases.aged,
            watches.resumed,
            watches.overtaken,
            self.compactions.count(),
        ];
        assert!(met.iter().all(|count| *count > 0), "{}", self.summary());
    }

    /// What was done, in numbers.
    pub(crate) fn summary(&self) -> String {
        let (writes, leases, watches) = (self.ledger.tally(), self.leases.tally(), self.followers.tally());
        let (compactions, head) = (self.compactions.count(), self.chronicle.head());
        format!("{head} revisions, {writes:?}, {leases:?}, {watches:?}, {compactions} compactions")
    }
}
