//! SIGTERM.

use std::time::Duration;

use registry_tests::requests::watch;
use registry_tests::{Node, Watching};
use tokio::time::Instant;
use tonic::Code;

use crate::NODE;

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
    let load = std::sync::Arc::new(crate::load::Load::default());
    let mut node = Node::start(NODE, &[]).await;
    for _ in 0..3 {
        let client = node.client().await;
        let writers = load.start(&client);
        let enough = load.acknowledged() + 100;
        let what = "writes are acknowledged";
        registry_tests::eventually(registry_tests::budget::SOON, what, async || load.acknowledged() >= enough).await;
        assert!(node.terminate().await.success());
        writers.join_all().await;
        node.start_again().await;
        load.check(&node.client().await).await;
    }
}
