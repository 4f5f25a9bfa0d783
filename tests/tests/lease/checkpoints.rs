//! Leases over a restart: what remained of them is what they have.

use std::time::Duration;

use registry_proto::etcdserverpb::StatusRequest;
use registry_tests::budget::SOON;
use registry_tests::requests::leased;
use registry_tests::{Client, EmbeddedNode, eventually};
use tokio::time::Instant;

const TTL: i64 = 6;
/// After this much of the TTL without a keep-alive, what remains is recorded.
const INTERVAL: i64 = TTL / 2;
/// What looking for due checkpoints and committing one may take, generously, in seconds.
const SLACK: i64 = 1;
/// A lease's time runs from the election that a start begins with, of which a test is told a little later.
const STARTING: Duration = Duration::from_millis(500);

async fn raft_index(client: &Client) -> u64 {
    client.maintenance.clone().status(StatusRequest {}).await.expect("status is answered").into_inner().raft_index
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

#[tokio::test]
async fn after_a_restart_a_lease_has_what_remained_and_a_keep_alive_gives_it_all() {
    let mut node = EmbeddedNode::start().await;
    let client = node.client().await;
    let granted = Instant::now();
    for (id, key) in [(7, "left"), (8, "kept")] {
        client.grant(id, TTL).await.unwrap();
        client.try_put(leased(key, "1", id)).await.unwrap();
    }
    // What remains is recorded with half of it left; by then that is over.
    let recorded = async || client.time_to_live(7).await.ttl < TTL - INTERVAL - SLACK;
    eventually(SOON, "time passes", recorded).await;
    node.restart().await;
    let client = node.client().await;
    let remaining = client.time_to_live(7).await.ttl;
    assert!((1..=TTL - INTERVAL).contains(&remaining), "{remaining} s");
    // The renewal is in the log before it is answered: it holds over the next restart, too.
    assert_eq!(client.keep_alive().await.renew(8).await, TTL);

    node.restart().await;
    let served = Instant::now();
    let client = node.client().await;
    assert!(client.time_to_live(8).await.ttl > TTL - INTERVAL, "more than was recorded before the renewal");
    eventually(SOON, "the lease expires", async || client.get("left").await.is_none()).await;
    assert!(granted.elapsed() >= seconds(TTL), "it went early, after {:?}", granted.elapsed());
    assert!(served.elapsed() < seconds(TTL) - STARTING, "it had all of its TTL again: {:?}", served.elapsed());
    assert!(client.get("kept").await.is_some());
}

#[tokio::test]
async fn keep_alives_in_time_cost_no_entry_and_one_after_a_checkpoint_costs_one() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, TTL).await.unwrap();
    let before = raft_index(&client).await;
    let mut keep_alive = client.keep_alive().await;
    for _ in 0..100 {
        assert_eq!(keep_alive.renew(7).await, TTL);
    }
    assert_eq!(raft_index(&client).await, before);
    // Nobody keeps it alive for longer than the interval.
    eventually(SOON, "it is recorded", async || raft_index(&client).await == before + 1).await;
    for _ in 0..10 {
        assert_eq!(keep_alive.renew(7).await, TTL);
    }
    assert_eq!(raft_index(&client).await, before + 2);
}
