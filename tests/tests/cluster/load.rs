//! Everything that clients do at once, through all members: puts, transactions, a shared counter, reads, watches.
//!
//! What the `workers` asked for is entered in the ledger and compared with the history as every member tells
//! it. What had no answer stays open to the end of the test: it may still happen, once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use registry_tests::budget::SOON;
use registry_tests::chronicle::Chronicle;
use registry_tests::ledger::Ledger;
use registry_tests::{Client, Cluster, Standing, eventually};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::readings::Readings;
use crate::watchers::Watchers;
use crate::workers::{COUNTER, Outcomes, Worker, counted};

/// Writers of keys of their own.
const PUTTERS: usize = 4;
/// Writers of two keys each, by transactions.
const PAIRS: usize = 1;
/// Writers that share one counter.
const COUNTERS: usize = 2;
const READERS: usize = 2;
/// Revisions that were compared before and are compared again.
const OVERLAP: i64 = 50;

/// What has been done so far.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    readings: Arc<Mutex<Readings>>,
    chronicle: Chronicle,
    watchers: Watchers,
    /// What the members said at the last check.
    standings: Vec<Standing>,
}

/// The clients that are at work.
#[derive(Debug)]
pub(crate) struct Clients {
    tasks: JoinSet<()>,
    outcomes: Arc<Outcomes>,
    end: CancellationToken,
}

impl Clients {
    /// Ends the work; requests under way are left alone, and nobody knows what becomes of them.
    pub(crate) async fn end(self) {
        self.end.cancel();
        self.tasks.join_all().await;
    }

    /// How many writes had an answer.
    pub(crate) fn writes(&self) -> usize {
        self.outcomes.writes.load(Ordering::Relaxed)
    }

    /// Waits until these clients have an answer to a write.
    pub(crate) async fn wait_for_an_answer(&self) {
        let before = self.writes();
        eventually(SOON, "a write is answered", async || self.writes() > before).await;
    }

    /// Waits until each of these clients, on the average, has had to do without an answer.
    pub(crate) async fn wait_for_failures(&self) {
        self.wait_for_failures_or_writes(usize::MAX).await;
    }

    /// The same, or until so many writes are answered, if there is somebody to do that.
    pub(crate) async fn wait_for_failures_or_writes(&self, count: usize) {
        let unanswered = || self.outcomes.unanswered.load(Ordering::Relaxed);
        let (failures, writes) = (unanswered() + self.tasks.len(), self.writes().saturating_add(count));
        let over = async || unanswered() >= failures || self.writes() >= writes;
        eventually(SOON, "requests fail or time out", over).await;
    }

    /// A client has met what it must not: its test ends with it, and not in the wait for something else.
    fn assert_all_work(&mut self) {
        if let Some(Err(error)) = self.tasks.try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Load {
    pub(crate) fn new(cluster: &Cluster, random: &mut fastrand::Rng) -> Self {
        Self::watched_by(Watchers::start(&cluster.clients(), random))
    }

    /// On members that come and go.
    pub(crate) fn on_changing(members: &[Client], random: &mut fastrand::Rng) -> Self {
        Self::watched_by(Watchers::start_roaming(members, random))
    }

    fn watched_by(watchers: Watchers) -> Self {
        let (ledger, readings, chronicle) = (Arc::default(), Arc::default(), Chronicle::default());
        Self { ledger, readings, chronicle, watchers, standings: Vec::new() }
    }

    /// Has clients work with all members.
    pub(crate) fn start(&self, cluster: &Cluster, random: &mut fastrand::Rng) -> Clients {
        self.start_with(&cluster.clients(), random)
    }

    /// Has clients work with some members only.
    pub(crate) fn start_with(&self, members: &[Client], random: &mut fastrand::Rng) -> Clients {
        let mut clients = Clients { tasks: JoinSet::new(), outcomes: Arc::default(), end: CancellationToken::new() };
        let worker = |number: usize, random: &mut fastrand::Rng| Worker {
            clients: members.to_vec(),
            at: number % members.len(),
            ledger: self.ledger.clone(),
            readings: self.readings.clone(),
            outcomes: clients.outcomes.clone(),
            end: clients.end.clone(),
            random: random.fork(),
        };
        let tasks = &mut clients.tasks;
        (0..PUTTERS).for_each(|number| drop(tasks.spawn(worker(number, random).keep_putting(number))));
        (0..PAIRS).for_each(|number| drop(tasks.spawn(worker(number, random).keep_pairing(number))));
        (0..COUNTERS).for_each(|number| drop(tasks.spawn(worker(number, random).keep_counting())));
        (0..READERS).for_each(|number| drop(tasks.spawn(worker(number, random).keep_reading(PUTTERS))));
        clients
    }

    /// Waits until so many writes more are acknowledged.
    pub(crate) async fn wait_for_writes(&self, count: usize, clients: &mut Clients) {
        let enough = self.ledger.tally().acknowledged + count;
        let clients = Mutex::new(clients);
        eventually(SOON, &format!("{count} writes more are acknowledged"), async || {
            clients.lock().assert_all_work();
            self.ledger.tally().acknowledged >= enough
        })
        .await;
    }

    /// Compares all that has happened since the last check with what every member has of it. All members
    /// are there, and no client is at work.
    pub(crate) async fn check(&mut self, cluster: &Cluster) {
        self.compare(cluster, self.chronicle.head() - OVERLAP).await;
    }

    /// Compares the whole history of every member once more, at the end of a test.
    pub(crate) async fn check_all(&mut self, cluster: &Cluster) {
        self.compare(cluster, 0).await;
        self.ledger.settle();
    }

    async fn compare(&mut self, cluster: &Cluster, from: i64) {
        cluster.wait_for_leader().await;
        for client in cluster.clients() {
            for revision in self.chronicle.read_on(&client, from).await {
                assert!(self.ledger.claim(&revision), "nobody wrote that, or it was applied before: {revision:?}");
                self.chronicle.add(revision);
            }
        }
        self.ledger.assert_nothing_is_lost();
        for client in cluster.clients() {
            self.chronicle.compare_keys(&client).await;
        }
        // Its key is never deleted, so the version is how often it was put.
        if let Some(counter) = self.chronicle.key(COUNTER.as_bytes()) {
            assert_eq!(counted(&counter.value), counter.version, "{counter:?}");
        }
        cluster.assert_equal_hashes(self.chronicle.head()).await;
        self.readings.lock().check(&self.chronicle);
        self.watchers.check(&self.chronicle).await;
        self.compare_standings(cluster.standings().await);
    }

    /// Members are who they were, and none goes back.
    fn compare_standings(&mut self, now: Vec<Standing>) {
        for now in &now {
            let Some(before) = self.standings.iter().find(|before| before.member == now.member) else { continue };
            assert_eq!(before.id, now.id, "member {} is another one", now.member);
            assert!(now.term >= before.term, "the term went back: {before:?}, {now:?}");
            assert!(now.revision >= before.revision, "the revision went back: {before:?}, {now:?}");
        }
        self.standings = now;
    }

    /// All of it happened that the test is for.
    pub(crate) fn assert_it_was_much(&self) {
        let met = [self.readings.lock().checked, self.watchers.resumed(), self.ledger.tally().acknowledged];
        assert!(met.iter().all(|count| *count > 0), "{}", self.summary());
    }

    /// What was done, in numbers.
    pub(crate) fn summary(&self) -> String {
        let (head, tally, readings) = (self.chronicle.head(), self.ledger.tally(), self.readings.lock().checked);
        format!("{head} revisions, {tally:?}, {readings} reads, {} watches resumed", self.watchers.resumed())
    }
}
