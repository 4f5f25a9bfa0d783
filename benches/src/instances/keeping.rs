//! A lease for each instance, kept alive as its process would: a third of the TTL after the last time, all of them
//! spread over that third.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Plan;
use super::registering::put;
use crate::BenchError;
use crate::channel::{Connection, Endpoint};

/// Keep-alives of one stream that wait to be sent.
const QUEUE: usize = 1_024;
/// Grants or puts of one connection that are under way together.
const TOGETHER: usize = 16;

/// Dropping them ends the keep-alives.
pub(super) struct Keepers {
    _tasks: JoinSet<()>,
    answered: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Keepers {
    /// How many keep-alives were answered so far, none of them with the end of a lease.
    pub(super) fn answered(&self) -> Result<u64, BenchError> {
        match self.lost.load(Ordering::Relaxed) {
            0 => Ok(self.answered.load(Ordering::Relaxed)),
            lost => Err(BenchError::answer("keep-alive", format!("{lost} leases or streams were lost"))),
        }
    }
}

/// Grants a lease for each instance, keeps all of them alive, and puts the instances under them.
pub(super) async fn leases(endpoint: &Endpoint, plan: &Plan) -> Result<Keepers, BenchError> {
    let (mut tasks, answered, lost) = (JoinSet::new(), Arc::default(), Arc::default());
    let (mut granting, mut putting) = (JoinSet::new(), JoinSet::new());
    let each = plan.instances.div_ceil(plan.connections.max(1)).max(1);
    for first in (0..plan.instances).step_by(each) {
        granting.spawn(grant(endpoint.clone(), first..plan.instances.min(first + each), plan.ttl));
    }
    let failed = |error| BenchError::answer("keep-alive", format!("a connection's task: {error}"));
    while let Some(granted) = granting.join_next().await {
        let Granted { connection, leases, requests, answers } = granted.map_err(failed)??;
        let ids = leases.iter().map(|(_, id)| *id).collect();
        tasks.spawn(send(requests, ids, plan.ttl / 3));
        tasks.spawn(count(answers, Arc::clone(&answered), Arc::clone(&lost)));
        putting.spawn(put_all(endpoint.clone(), connection, leases));
    }
    while let Some(put) = putting.join_next().await {
        put.map_err(failed)??;
    }
    Ok(Keepers { _tasks: tasks, answered, lost })
}

/// The leases of one connection, and the stream that is to keep them.
struct Granted {
    connection: Connection,
    /// With their instances' numbers.
    leases: Vec<(usize, i64)>,
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

async fn grant(endpoint: Endpoint, numbers: Range<usize>, ttl: Duration) -> Result<Granted, BenchError> {
    let connection = Connection::open(&endpoint).await?;
    let client = LeaseClient::with_origin(connection.clone(), endpoint.origin());
    let ttl = ttl.as_secs().try_into().unwrap_or(i64::MAX);
    let one = |number| {
        let mut client = client.clone();
        async move {
            let granted = client.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await;
            granted.map(|granted| (number, granted.into_inner().id)).map_err(BenchError::operation("grant"))
        }
    };
    let leases: Vec<_> = stream::iter(numbers.map(one)).buffer_unordered(TOGETHER).try_collect().await?;
    let (requests, outgoing) = mpsc::channel(QUEUE);
    // A server may hold the answer's head back until there is something to answer.
    let first = leases.first().map_or(0, |(_, id)| *id);
    let _ = requests.try_send(LeaseKeepAliveRequest { id: first });
    let answers = client.clone().lease_keep_alive(ReceiverStream::new(outgoing)).await;
    let answers = answers.map_err(BenchError::operation("keep-alive"))?.into_inner();
    Ok(Granted { connection, leases, requests, answers })
}

async fn put_all(endpoint: Endpoint, connection: Connection, leases: Vec<(usize, i64)>) -> Result<(), BenchError> {
    let client = KvClient::with_origin(connection, endpoint.origin());
    let one = |(number, lease)| {
        let mut client = client.clone();
        async move { client.put(put(number, 100, lease)).await.map(drop).map_err(BenchError::operation("put")) }
    };
    stream::iter(leases.into_iter().map(one)).buffer_unordered(TOGETHER).try_collect().await
}

/// Every lease once in `every`, evenly, until the stream is gone.
async fn send(requests: mpsc::Sender<LeaseKeepAliveRequest>, ids: Vec<i64>, every: Duration) {
    let mut ticks = interval((every / ids.len().max(1) as u32).max(Duration::from_micros(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for id in ids.into_iter().cycle() {
        ticks.tick().await;
        if requests.send(LeaseKeepAliveRequest { id }).await.is_err() {
            return;
        }
    }
}

async fn count(mut answers: Streaming<LeaseKeepAliveResponse>, answered: Arc<AtomicU64>, lost: Arc<AtomicU64>) {
    while let Ok(Some(answer)) = answers.message().await {
        let counter = if answer.ttl > 0 { &answered } else { &lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    // It is dropped with the measurement otherwise.
    lost.fetch_add(1, Ordering::Relaxed);
}
