//! SIGTERM.

use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::requests::watch;
use registry_tests::{Node, Watching, eventually};
use tokio::time::Instant;
use tonic::Code;

use crate::NODE;
use crate::leases::Crash;
use crate::load::Load;

/// A stop with idle streams; the server's grace for requests under way is 5 s.
const QUICKLY: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_all_streams_with_a_status_and_the_process_with_success() {
    let mut node = Node::start(NODE, &[]).await;
    let client = node.client().await;
    client.put("a", "1").await;
    client.grant(7, 600).await.unwrap();
    let mut watching = Watching::of(&client, watch("a")).await;
    let mut keep_alive = client.keep_alive().await;
    assert_eq!(keep_alive.renew(7).await, 600);

    let begin = Instant::now();
    let status = node.terminate().await;
    let took = begin.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < QUICKLY, "the stop took {took:?}");
    for ended in [watching.try_answer().await.unwrap_err(), keep_alive.next().await.unwrap_err()] {
        assert_eq!((ended.code(), ended.message()), (Code::Unavailable, "etcdserver: server stopped"));
    }
    assert!(node.log_contains("stopped"));

    node.start_again().await;
    let client = node.client().await;
    assert_eq!(client.value("a").await.unwrap(), "1");
    assert_eq!(client.leases().await, [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let mut load = Load::new();
    let mut random = fastrand::Rng::new();
    let mut node = Node::start(NODE, &[]).await;
    for _ in 0..3 {
        let client = node.client().await;
        let clients = load.start(&client, &mut random);
        let enough = load.ledger.tally().acknowledged + 100;
        let acknowledged = async || load.ledger.tally().acknowledged >= enough;
        eventually(SOON, "writes are acknowledged", acknowledged).await;
        let stop = Crash::now(load.ledger.stall());
        assert!(node.terminate().await.success());
        clients.end().await;
        node.start_again().await;
        load.leases.restarted(&stop);
        load.check(&node.client().await).await;
    }
}
