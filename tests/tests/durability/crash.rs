//! kill -9 under load.

use std::sync::Arc;

use registry_tests::budget::{KILLS, SOON};
use registry_tests::{Node, eventually};

use crate::NODE;
use crate::load::Load;

/// Kills the server `kills` times on the same data while all writers write.
async fn kill_under_load(kills: usize, flags: &[&str]) -> Node {
    let load = Arc::new(Load::default());
    let mut node = Node::start(NODE, flags).await;
    let mut before = node.client().await.header().await;
    for round in 0..kills {
        let client = node.client().await;
        let writers = load.start(&client);
        // Another number of writes each time, so that the kill meets other moments.
        let enough = load.acknowledged() + 40 + 37 * round % 200;
        eventually(SOON, "writes are acknowledged", async || load.acknowledged() >= enough).await;
        node.kill9();
        writers.join_all().await;
        node.start_again().await;

        let client = node.client().await;
        let after = client.header().await;
        let newest = before.revision.max(load.history.revision());
        assert!(after.revision >= newest, "round {round}: the revision went back from {newest} to {}", after.revision);
        assert!(after.raft_term >= before.raft_term, "round {round}: the term went back");
        assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id));
        load.check(&client).await;
        before = after;
    }
    assert!(load.versions() > 0);
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_kill_under_load_and_is_applied_once() {
    drop(kill_under_load(KILLS, &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_while_snapshots_are_written_and_the_log_is_purged() {
    let node = kill_under_load(KILLS / 2, &["--snapshot-log-bytes=20000"]).await;
    let snapshots = std::fs::read_dir(node.data_dir().join("member/snap")).unwrap().count();
    assert!(snapshots > 0, "no snapshot was written");
}
