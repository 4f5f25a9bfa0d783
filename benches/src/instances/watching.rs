//! The SDK's clients of the service, and how soon they know.

use std::time::Duration;

use futures_util::StreamExt;
use registry_client::{Changes, Freshness, Registry, ServiceWatch};
use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Plan;
use super::registering::{SERVICE, id, put};
use crate::BenchError;
use crate::channel::{Connection, Endpoint};

/// A client that does not know by then never will.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether all are current.
const POLL: Duration = Duration::from_millis(50);
/// How often the first snapshot is timed.
const FIRST_SNAPSHOTS: usize = 5;
/// The instance that changes.
const CHANGING: usize = 0;
/// The weight that the first change gives; below are those of the registration.
const FIRST_WEIGHT: usize = 1_000;

/// Clients that watch, each on its own.
pub(super) struct Clients {
    watches: Vec<ServiceWatch>,
    instances: usize,
}

fn client(url: &str) -> Result<ServiceWatch, BenchError> {
    // The watch keeps what it needs of its registry.
    Registry::builder([url]).build().and_then(|registry| registry.watch(SERVICE).start()).map_err(BenchError::Client)
}

async fn synced(watch: &ServiceWatch, instances: usize) -> Result<(), BenchError> {
    let late = || BenchError::answer("watch", format!("no first snapshot within {LIMIT:?}"));
    timeout(LIMIT, watch.synced()).await.map_err(|_| late())?.map_err(BenchError::Client)?;
    let known = watch.snapshot().instances().len();
    if known == instances {
        return Ok(());
    }
    Err(BenchError::answer("watch", format!("{known} of {instances} instances are known")))
}

/// From a client that is built until it knows all instances, several times.
pub(super) async fn first_snapshots(url: &str, instances: usize) -> Result<Vec<Duration>, BenchError> {
    let mut took = Vec::new();
    for _ in 0..FIRST_SNAPSHOTS {
        let began = Instant::now();
        synced(&client(url)?, instances).await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

/// Starts the clients together and waits for the last of them.
pub(super) async fn clients(url: &str, plan: &Plan) -> Result<Clients, BenchError> {
    let watches = (0..plan.clients).map(|_| client(url)).collect::<Result<Vec<_>, _>>()?;
    for watch in &watches {
        synced(watch, plan.instances).await?;
    }
    Ok(Clients { watches, instances: plan.instances })
}

impl Clients {
    /// Waits until all have taken in whatever was put so far.
    pub(super) async fn catch_up(&self, endpoint: &Endpoint) -> Result<(), BenchError> {
        let mut kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
        let newest = id(self.instances - 1);
        let request = RangeRequest { key: format!("/services/{SERVICE}/{newest}").into(), ..RangeRequest::default() };
        let answer = kv.range(request).await.map_err(BenchError::operation("range"))?.into_inner();
        let revision = answer.header.unwrap_or_default().revision;
        let began = Instant::now();
        while self.watches.iter().any(|watch| watch.snapshot().revision() < revision) {
            if began.elapsed() > LIMIT {
                return Err(BenchError::answer("watch", format!("not all clients are current after {LIMIT:?}")));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether nobody has lost anything.
    pub(super) fn are_synced(&self) -> Result<(), BenchError> {
        let is_well = |watch: &&ServiceWatch| {
            let snapshot = watch.snapshot();
            snapshot.freshness() == Freshness::Synced && snapshot.instances().len() == self.instances
        };
        match self.watches.iter().filter(is_well).count() {
            well if well == self.watches.len() => Ok(()),
            well => Err(BenchError::answer("watch", format!("{well} of {} clients are current", self.watches.len()))),
        }
    }
}

/// How long each change took to reach each client, from before it was put; sorted.
pub(super) async fn changes(endpoint: &Endpoint, clients: &Clients, plan: &Plan) -> Result<Vec<Duration>, BenchError> {
    let mut kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let (seen, mut told) = mpsc::channel(1_024);
    let mut observers = JoinSet::new();
    for watch in &clients.watches {
        observers.spawn(observe(watch.changes(), seen.clone()));
    }
    let mut took = Vec::with_capacity(plan.changes * plan.clients);
    for change in 0..plan.changes {
        let weight = FIRST_WEIGHT + change;
        let began = Instant::now();
        kv.put(put(CHANGING, weight, 0)).await.map_err(BenchError::operation("put"))?;
        let mut missing = plan.clients;
        while missing > 0 {
            let late = || BenchError::answer("watch", format!("{missing} clients have not seen a change in {LIMIT:?}"));
            let (known, at) = timeout(LIMIT, told.recv()).await.map_err(|_| late())?.ok_or_else(late)?;
            if known == weight {
                missing -= 1;
                took.push(at.duration_since(began));
            }
        }
    }
    took.sort_unstable();
    Ok(took)
}

/// Tells each new weight of the changing instance, and when it was known.
async fn observe(mut changes: Changes, seen: mpsc::Sender<(usize, Instant)>) {
    let changing = id(CHANGING);
    let mut last = 0;
    while let Some(snapshot) = changes.next().await {
        let weight = snapshot.instance(&changing).map_or(0, |found| found.weight() as usize);
        let is_new = weight != last;
        last = weight;
        if is_new && seen.send((weight, Instant::now())).await.is_err() {
            return;
        }
    }
}
