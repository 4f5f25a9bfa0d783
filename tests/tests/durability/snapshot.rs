//! Restarts from a snapshot and the log behind it.

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::mvccpb::KeyValue;
use registry_tests::requests::{delete, everything, key, leased};
use registry_tests::{Client, Node, refusal};

use crate::NODE;

/// So little log that snapshots come soon.
const FLAGS: [&str; 1] = ["--snapshot-log-bytes=100000"];

/// Everything that clients can read: the keys at each revision, the leases, and what was compacted.
async fn all(client: &Client, from: i64, to: i64) -> (Vec<Vec<KeyValue>>, Vec<i64>) {
    let mut revisions = Vec::new();
    for revision in (from..=to).step_by(97).chain([to]) {
        revisions.push(client.range(RangeRequest { revision, ..everything() }).await);
    }
    (revisions, client.leases().await)
}

async fn write(client: &Client, round: usize) {
    for n in 0..300 {
        client.put(&format!("k/{}", n % 40), &format!("{round}/{n}/").repeat(100)).await;
    }
    client.delete(delete(&format!("k/{round}"))).await.expect("deleted");
    client.grant(100 + round as i64, 3_600).await.expect("granted");
    client.try_put(leased(&format!("leased/{round}"), "1", 100 + round as i64)).await.expect("put");
}

/// A snapshot is due after a quarter as many bytes of log as the last one had, so they come further and further apart.
async fn write_until_a_snapshot(node: &Node, client: &Client) {
    let value = "x".repeat(10_000);
    let mut puts = 0;
    while !node.log_contains("saved snapshot") {
        client.put("filler", &value).await;
        puts += 1;
        assert!(puts < 2_000, "no snapshot after {puts} puts");
    }
}

#[tokio::test]
async fn a_snapshot_and_the_log_behind_it_bring_back_all_keys_revisions_and_leases() {
    let mut node = Node::start(NODE, &FLAGS).await;
    for round in 0..4 {
        let client = node.client().await;
        write(&client, round).await;
        write_until_a_snapshot(&node, &client).await;
        // Behind the snapshot.
        client.put("tail", &format!("{round}")).await;
        let revision = client.revision().await;
        let before = all(&client, 2, revision).await;
        node.restart().await;
        let client = node.client().await;
        assert_eq!(client.revision().await, revision);
        assert_eq!(all(&client, 2, revision).await, before, "round {round}");
        for lease in 0..=round {
            assert_eq!(client.time_to_live(100 + lease as i64).await.keys, [format!("leased/{lease}")]);
        }
    }
}

#[tokio::test]
async fn what_was_compacted_stays_compacted_after_a_restart_from_a_snapshot() {
    let mut node = Node::start(NODE, &FLAGS).await;
    let client = node.client().await;
    client.put("k/0", "first").await;
    write(&client, 0).await;
    let compacted = client.revision().await;
    client.compact(compacted).await.unwrap();
    write(&client, 1).await;
    write_until_a_snapshot(&node, &client).await;
    let revision = client.revision().await;
    let before = all(&client, compacted, revision).await;
    node.restart().await;
    let client = node.client().await;
    assert_eq!(client.revision().await, revision);
    assert_eq!(all(&client, compacted, revision).await, before);
    let mut old = key("k/0");
    old.revision = compacted - 1;
    let text = "etcdserver: mvcc: required revision has been compacted".to_owned();
    assert_eq!(refusal(client.try_range(old).await), (tonic::Code::OutOfRange, text.clone()));
    assert_eq!(refusal(client.compact(compacted).await), (tonic::Code::OutOfRange, text));
}

#[tokio::test]
async fn the_log_is_purged_behind_a_snapshot() {
    let mut node = Node::start(NODE, &["--snapshot-log-bytes=1000000"]).await;
    let client = node.client().await;
    let segments = |node: &Node| {
        let files = std::fs::read_dir(node.data_dir().join("member/wal")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let first = segments(&node)[0].clone();
    // Some of them large, so that segments fill up.
    let value = "x".repeat(1_000_000);
    for n in 0..25 {
        client.put(&format!("big/{}", n % 3), &value).await;
    }
    for n in 0..1_100 {
        client.put("small", &format!("{n}")).await;
    }
    client.compact(client.revision().await).await.unwrap();
    let mut more = 0;
    while segments(&node).contains(&first) {
        // A snapshot is due after a quarter as many bytes as the last one had.
        client.put(&format!("big/{}", more % 3), &value).await;
        more += 1;
        assert!(more < 200, "the first segment is still there: {:?}", segments(&node));
    }
    let revision = client.revision().await;
    let kvs = client.range(everything()).await.len();
    node.restart().await;
    let client = node.client().await;
    assert_eq!(client.revision().await, revision);
    assert_eq!(client.range(everything()).await.len(), kvs);
    assert_eq!(client.value("small").await.unwrap(), "1099");
}
