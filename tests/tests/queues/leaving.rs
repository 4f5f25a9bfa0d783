//! Who goes away while waiting leaves nothing behind; nobody waits at a server that stops.

use std::time::Duration;

use registry_proto::v3lockpb::LockRequest;
use registry_tests::{EmbeddedNode, refusal, within};
use tonic::{Code, Request};

use crate::Queues;

#[tokio::test]
async fn a_waiter_whose_client_went_away_leaves_no_key_and_lets_the_next_one_move_up() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=3 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    let held = queues.lock("gone", 1).await.unwrap();
    let second = queues.waiting_for_lock("gone", 2, 2).await;
    let third = queues.waiting_for_lock("gone", 3, 3).await;
    second.abort();
    queues.wait_for_line("gone", 2).await;
    queues.unlock(held).await;
    assert_eq!(within(third).await.unwrap().unwrap(), "gone/3");
}

#[tokio::test]
async fn a_candidate_whose_connection_breaks_leaves_no_key() {
    let node = EmbeddedNode::start().await;
    let (queues, other) = (Queues::connect(node.url()).await, Queues::connect(node.url()).await);
    for lease in 1..=2 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    queues.campaign("gone", 1, "first").await.unwrap();
    let campaign = tokio::spawn(async move { other.campaign("gone", 2, "second").await });
    queues.wait_for_line("gone", 2).await;
    campaign.abort();
    queues.wait_for_line("gone", 1).await;
    assert_eq!(queues.line("gone").await[0].value, "first");
}

#[tokio::test]
async fn who_gave_up_at_any_moment_leaves_nothing_behind() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    queues.client.grant(1, 600).await.unwrap();
    let held = queues.lock("any", 1).await.unwrap();
    for lease in 2..60_i64 {
        queues.client.grant(lease, 600).await.unwrap();
        let asked = queues.clone();
        let waiting = tokio::spawn(async move { asked.lock("any", lease).await });
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..3_000))).await;
        waiting.abort();
    }
    queues.wait_for_line("any", 1).await;
    queues.unlock(held).await;
    queues.client.grant(60, 600).await.unwrap();
    assert_eq!(within(queues.lock("any", 60)).await.unwrap(), "any/3c");
}

#[tokio::test]
async fn who_asks_again_with_the_same_lease_after_giving_up_still_gets_the_turn() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=2 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    let held = queues.lock("again", 1).await.unwrap();
    let mut waiting = queues.waiting_for_lock("again", 2, 2).await;
    for _ in 0..20 {
        waiting.abort();
        let asked = queues.clone();
        waiting = tokio::spawn(async move { asked.lock("again", 2).await });
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..3_000))).await;
    }
    queues.unlock(held).await;
    assert_eq!(within(waiting).await.unwrap().unwrap(), "again/2");
}

#[tokio::test]
async fn a_server_that_stops_tells_those_who_wait_and_does_not_wait_for_them() {
    let mut node = EmbeddedNode::start_with(|config| config.shutdown_grace = Duration::from_secs(30)).await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=2 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    queues.lock("stop", 1).await.unwrap();
    let waiting = queues.waiting_for_lock("stop", 2, 2).await;
    let mut observed = {
        let request = registry_proto::v3electionpb::LeaderRequest { name: "stop".into() };
        queues.election.clone().observe(request).await.unwrap().into_inner()
    };
    within(observed.message()).await.unwrap().unwrap();
    let client = queues.client.clone();
    drop((queues, client));
    within(node.stop()).await;
    assert_eq!(refusal(within(waiting).await.unwrap()).0, Code::Unavailable);
    assert_eq!(refusal(within(observed.message()).await).0, Code::Unavailable);
}

#[tokio::test]
async fn a_client_that_wants_a_leader_and_has_one_waits_on() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    queues.client.grant(1, 600).await.unwrap();
    let mut request = Request::new(LockRequest { name: "leader".into(), lease: 1 });
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    assert_eq!(queues.lock.clone().lock(request).await.unwrap().into_inner().key, "leader/1");
}
