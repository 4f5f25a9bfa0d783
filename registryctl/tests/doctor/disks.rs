//! Disks that are slow.

use crate::front::{Front, Says, version};
use crate::kit::{Node, doctor};

/// The metrics of a server of which so many syncs were quick, and so many slow.
fn figures(quick: u32, slow: u32) -> String {
    let all = quick + slow;
    format!(
        "# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.008\"}} {quick}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.128\"}} {all}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n\
         etcd_disk_wal_fsync_duration_seconds_sum 1\n\
         etcd_disk_wal_fsync_duration_seconds_count {all}\n"
    )
}

async fn before(node: &Node, metrics: Vec<String>) -> Front {
    let pages = [version("3.7.1", "3.7.0"), ("/metrics", metrics)];
    Front::before(node.url(), Says { pages: pages.into(), date: None }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_found_in_what_the_server_counts() {
    let node = Node::start().await;
    let front = before(&node, vec![figures(900, 100)]).await;
    let found = doctor(&front.url, &[]).await;
    found.expect("disk", &format!("warning {}", front.url), &["99 of 100 syncs of its log", "128ms", "--wal-dir"]);
    let front = before(&node, vec![figures(990, 10)]).await;
    doctor(&front.url, &[]).await.expect("disk", "ok", &["8ms"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_window_only_what_happens_in_it_counts() {
    let node = Node::start().await;
    // It was quick for long, and is not any more.
    let front = before(&node, vec![figures(1_000_000, 0), figures(1_000_000, 200)]).await;
    let found = doctor(&front.url, &["--window", "100ms"]).await;
    found.expect("disk", "warning", &["within 100ms", "128ms", "of 200"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_servers_syncs_are_read() {
    let node = Node::start().await;
    crate::kit::say(node.url(), &["put", "a", "b"]).await;
    let found = doctor(node.url(), &[]).await;
    found.expect("disk", "ok", &["syncs of its log since its start are too few to judge"]);
    assert!(!found.of("disk")[0].contains(" 0 syncs"), "{found:?}");
    node.stop().await;
}
