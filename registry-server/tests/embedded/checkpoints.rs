//! Leases over a restart: what remained of them is what they have.

use std::time::Duration;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::*;
use registry_server::server::Running;
use tokio::time::Instant;

use crate::kit::{Channel, start};

const TTL: i64 = 6;
/// After this much of the TTL without a keep-alive, what remains is recorded.
const INTERVAL: i64 = TTL / 2;
/// What looking for due checkpoints and committing one may take, generously, in seconds.
const SLACK: i64 = 1;
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

struct Client {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
}

impl Client {
    async fn of(node: &Running) -> Self {
        let channel = Channel::connect(node).await;
        Self {
            kv: KvClient::new(channel.clone()),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        }
    }

    /// A lease of the usual TTL, and a key of the same name under it.
    async fn grant(&mut self, id: i64) {
        self.lease.lease_grant(LeaseGrantRequest { id, ttl: TTL }).await.unwrap();
        let put = PutRequest { key: id.to_string().into(), lease: id, ..PutRequest::default() };
        self.kv.put(put).await.unwrap();
    }

    /// Whole seconds, rounded down.
    async fn remaining(&mut self, id: i64) -> i64 {
        let request = LeaseTimeToLiveRequest { id, keys: false };
        self.lease.lease_time_to_live(request).await.unwrap().into_inner().ttl
    }

    async fn keep_alive(&mut self, id: i64) -> i64 {
        let requests = tokio_stream::iter([LeaseKeepAliveRequest { id }]);
        let mut answers = self.lease.lease_keep_alive(requests).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().ttl
    }

    async fn has_key(&mut self, id: i64) -> bool {
        let range = RangeRequest { key: id.to_string().into(), ..RangeRequest::default() };
        self.kv.range(range).await.unwrap().into_inner().count == 1
    }

    async fn raft_index(&mut self) -> u64 {
        self.maintenance.status(StatusRequest::default()).await.unwrap().into_inner().raft_index
    }
}

#[tokio::test]
async fn after_a_restart_leases_have_what_remained_and_a_keep_alive_gives_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let mut client = Client::of(&node).await;
    let granted = Instant::now();
    client.grant(1).await;
    client.grant(2).await;
    // What remains is recorded with half of it left; by then that is over.
    while client.remaining(1).await >= TTL - INTERVAL - SLACK {
        tokio::time::sleep(PAUSE).await;
    }
    node.shutdown().await.unwrap();

    let node = start(dir.path(), |_| {}).await;
    let mut client = Client::of(&node).await;
    let remaining = client.remaining(1).await;
    assert!((1..=TTL - INTERVAL).contains(&remaining), "{remaining} s");
    // The renewal is in the log before it is answered: it holds over the next restart, too.
    assert_eq!(client.keep_alive(2).await, TTL);
    let renewed = Instant::now();
    node.shutdown().await.unwrap();

    let node = start(dir.path(), |_| {}).await;
    let served = Instant::now();
    let mut client = Client::of(&node).await;
    assert!(client.remaining(2).await >= TTL - SLACK);
    while client.has_key(1).await {
        tokio::time::sleep(PAUSE).await;
    }
    assert!(granted.elapsed() >= Duration::from_secs(TTL as u64), "it went early");
    assert!(served.elapsed() <= Duration::from_secs((TTL - INTERVAL + SLACK) as u64), "it had more than remained");
    assert!(renewed.elapsed() >= Duration::from_secs(TTL as u64) || client.has_key(2).await);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn keep_alives_in_time_cost_no_entry_and_one_after_a_checkpoint_costs_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let mut client = Client::of(&node).await;
    client.grant(1).await;
    let before = client.raft_index().await;
    for _ in 0..100 {
        assert_eq!(client.keep_alive(1).await, TTL);
    }
    assert_eq!(client.raft_index().await, before);
    // Nobody keeps it alive for longer than the interval.
    while client.raft_index().await == before {
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(client.raft_index().await, before + 1);
    for _ in 0..10 {
        assert_eq!(client.keep_alive(1).await, TTL);
    }
    assert_eq!(client.raft_index().await, before + 2);
    node.shutdown().await.unwrap();
}
