//! tonic's own balancer, fed from a view, over servers that tonic serves.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_discovery::ServiceWatchExt;

use crate::kit::{alive_tasks, eventually, instance, pay};

/// A health service that knows one service, by which it can be told from others.
async fn server(knows: &str, stop: CancellationToken) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(knows, ServingStatus::Serving).await;
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(health).serve_with_incoming_shutdown(incoming, stop.cancelled_owned()));
    port
}

/// Which of the servers `a` and `b` answer, of 40 calls.
async fn answering(channel: &Channel) -> BTreeSet<&'static str> {
    let mut client = HealthClient::new(channel.clone());
    let mut answering = BTreeSet::new();
    for _ in 0..40 {
        let (knows, other) = ("a", "b");
        match client.check(HealthCheckRequest { service: knows.into() }).await {
            Ok(_) => answering.insert(knows),
            Err(status) if status.code() == Code::NotFound => answering.insert(other),
            Err(status) => panic!("{status}"),
        };
    }
    answering
}

#[tokio::test]
async fn tonics_balance_channel_follows_the_view_until_it_is_dropped() {
    let (view, mut publisher) = pay();
    let stop = CancellationToken::new();
    let (a, b) = (server("a", stop.clone()).await, server("b", stop.clone()).await);
    publisher.replace([instance("a", a), instance("b", b)]);
    let before = alive_tasks();
    let (channel, sender) = Channel::balance_channel(8);
    let feed = tokio::spawn(view.drive_tonic_with(sender, |_, endpoint| endpoint.timeout(Duration::from_secs(20))));
    assert_eq!(answering(&channel).await, BTreeSet::from(["a", "b"]));

    publisher.remove("b");
    // A change is taken in with some request after it was sent.
    let followed = async { while answering(&channel).await != BTreeSet::from(["a"]) {} };
    tokio::time::timeout(Duration::from_secs(20), followed).await.unwrap();
    publisher.put(instance("b", b));
    let followed = async { while answering(&channel).await.len() != 2 {} };
    tokio::time::timeout(Duration::from_secs(20), followed).await.unwrap();

    drop(channel);
    tokio::time::timeout(Duration::from_secs(20), feed).await.expect("the feed ends with the channel").unwrap();
    stop.cancel();
    eventually(|| alive_tasks() <= before).await;
}

#[tokio::test]
async fn a_feed_holds_no_more_than_the_queue_of_an_idle_channel() {
    let (view, mut publisher) = pay();
    let (sender, mut queue) = tokio::sync::mpsc::channel(4);
    let feed = tokio::spawn(view.drive_tonic(sender));
    for port in 1..=1_000 {
        publisher.put_anew(instance("a", port));
        tokio::task::yield_now().await;
    }
    publisher.put_anew(instance("last", 2_000));
    drop(publisher);
    let mut changes = Vec::new();
    while let Some(change) = queue.recv().await {
        changes.push(change);
    }
    feed.await.unwrap();
    // What was queued, what was being sent, and the way from there to the newest set.
    assert!(changes.len() <= 4 + 2 + 3, "{} changes", changes.len());
    let last = changes.last().unwrap();
    assert!(matches!(last, tonic::transport::channel::Change::Insert(key, _) if key.id() == "last"), "{last:?}");
}
