//! What channels leave behind when everything is dropped: measured in a process of its own, where nothing else runs.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer;
use tower_discovery::retry::RetryLayer;
use tower_discovery::{DiscoveryLayer, GrpcConnect, HttpConnect};

use crate::grpc::health_server;
use crate::http1::echo;
use crate::kit::{alive_tasks, ask, connected, eventually, instance, pay};

/// Rounds between two looks. What leaks grows between all of them, what an allocator keeps does not.
const BETWEEN: usize = 100;
const LOOKS: usize = 4;
/// What the process may have grown between the two looks between which it grew least: 1 KiB a round.
const GROWTH_KIB: usize = BETWEEN;

#[test]
fn g14_nothing_is_left_of_channels_that_were_dropped() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--ignored", "--exact", "footprint::alone_in_its_process"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "is run by the test above, alone in a process of its own"]
async fn alone_in_its_process() {
    let (grpc, http) = (health_server(CancellationToken::new()).await, echo().await.port);
    come_and_go(grpc, http).await;
    settle().await;
    let (tasks, descriptors) = (alive_tasks(), descriptors());
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        for _ in 0..BETWEEN {
            come_and_go(grpc, http).await;
        }
        eventually(|| alive_tasks() <= tasks && self::descriptors() <= descriptors).await;
        looks.push(resident_kib());
    }
    let least = looks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap();
    assert!(least <= GROWTH_KIB, "KiB after each {BETWEEN} rounds: {looks:?}");
}

/// A gRPC channel with retries and an HTTP channel, each with a removed endpoint, used and dropped.
async fn come_and_go(grpc: u16, http: u16) {
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", grpc), instance("b", grpc)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["a", "b"]).await;
    let ended = channel.ended();
    let mut client = HealthClient::new(RetryLayer::new().layer(channel.clone()));
    for _ in 0..4 {
        client.check(HealthCheckRequest::default()).await.unwrap();
    }
    // Dropped in the middle of an answer.
    drop(client.watch(HealthCheckRequest::default()).await.unwrap());
    publisher.remove("a");
    connected(&channel, &["b"]).await;
    drop((channel, client));
    ended.await;

    let (view, mut publisher) = pay();
    publisher.put(instance("a", http));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new());
    let ended = channel.ended();
    for _ in 0..4 {
        drop(ask(&channel).await.unwrap().1.into_body().collect().await.unwrap());
    }
    drop(channel);
    ended.await;
}

/// The servers have noticed as well.
async fn settle() {
    let mut before = usize::MAX;
    while before != alive_tasks() + descriptors() {
        before = alive_tasks() + descriptors();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[expect(clippy::disallowed_methods, reason = "the kernel's own file about this process")]
fn resident_kib() -> usize {
    let text = String::from_utf8(std::fs::read("/proc/self/status").unwrap()).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
