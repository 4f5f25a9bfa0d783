//! Keep-alives.

use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::requests::{delete, leased};
use registry_tests::{EmbeddedNode, eventually};
use tokio::time::{Instant, sleep};
use tonic::Code;

#[tokio::test]
async fn a_keep_alive_answers_with_the_whole_ttl_and_fills_it_up_again() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 10).await.unwrap();
    eventually(SOON, "time passes", async || client.time_to_live(7).await.ttl < 9).await;
    let mut keep_alive = client.keep_alive().await;
    assert_eq!(keep_alive.renew(7).await, 10);
    assert!(client.time_to_live(7).await.ttl >= 9);
}

#[tokio::test]
async fn a_lease_that_is_kept_alive_outlives_its_ttl_and_then_expires() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 2).await.unwrap();
    client.try_put(leased("a", "1", 7)).await.unwrap();
    let mut keep_alive = client.keep_alive().await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        assert_eq!(keep_alive.renew(7).await, 2, "after {:?}", begin.elapsed());
        // The pace of a client that renews well in time.
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(client.value("a").await.unwrap(), "1");
    eventually(SOON, "it expires", async || client.get("a").await.is_none()).await;
    assert_eq!(keep_alive.renew(7).await, 0);
}

#[tokio::test]
async fn a_keep_alive_of_an_unknown_lease_is_answered_with_zero_and_the_stream_goes_on() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut keep_alive = client.keep_alive().await;
    assert_eq!(keep_alive.renew(404).await, 0);
    client.grant(7, 600).await.unwrap();
    assert_eq!(keep_alive.renew(7).await, 600);
}

#[tokio::test]
async fn one_stream_carries_the_keep_alives_of_many_leases_in_order() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for id in 1..=200 {
        client.grant(id, 600 + id).await.unwrap();
    }
    let mut keep_alive = client.keep_alive().await;
    for id in 1..=200 {
        assert_eq!(keep_alive.renew(id).await, 600 + id);
    }
}

/// The trap of plain etcd calls: deleting an instance's key leaves its lease and its keep-alive.
#[tokio::test]
async fn deleting_the_key_leaves_the_lease_and_its_keep_alive_and_only_the_revoke_ends_both() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 5).await.unwrap();
    client.try_put(leased("instance", "1", 7)).await.unwrap();
    let mut keep_alive = client.keep_alive().await;
    assert_eq!(keep_alive.renew(7).await, 5);
    assert_eq!(client.delete(delete("instance")).await.unwrap().deleted, 1);

    for _ in 0..5 {
        assert_eq!(keep_alive.renew(7).await, 5, "the keep-alive ended with the key");
    }
    assert_eq!(client.leases().await, [7]);
    assert!(client.time_to_live(7).await.keys.is_empty());

    client.revoke(7).await.unwrap();
    assert_eq!(keep_alive.renew(7).await, 0);
    assert!(client.leases().await.is_empty());
}

#[tokio::test]
async fn a_stop_of_the_server_ends_the_stream_with_a_status() {
    let mut node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    let mut keep_alive = client.keep_alive().await;
    assert_eq!(keep_alive.renew(7).await, 600);
    let stopping = tokio::spawn(async move { node.stop().await });
    let status = keep_alive.next().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: server stopped"));
    stopping.await.unwrap();
}
