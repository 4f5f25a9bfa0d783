//! Requests to each endpoint, and what a health check can know of a channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::Full;
use tokio::time::{Duration, sleep};
use tower::{Layer, ServiceExt};
use tower_discovery::{ChannelEnded, DiscoveryLayer, Error, ServedBy};

use crate::kit::{Behaviour, Fleet, ask, connected, eventually, instance, pay};

#[tokio::test(start_paused = true)]
async fn broadcast_asks_each_endpoint_once_and_tells_what_became_of_each() {
    let fleet = Fleet::default();
    fleet.set("broken", Behaviour::Break);
    fleet.set("refusing", Behaviour::Refuse);
    let (view, mut publisher) = pay();
    publisher.replace(["a", "b", "broken", "refusing"].map(|id| instance(id, 1)));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b", "broken"]).await;

    let answers = channel.broadcast(2, |endpoint| async move { ask(&endpoint).await.map(|(id, _)| id) });
    let answers: BTreeMap<_, _> =
        answers.map(|(target, answer)| (target.key().id().to_owned(), answer)).collect().await;
    let told = |id: &str| answers[id].as_ref().map_err(ToString::to_string).cloned();
    assert_eq!(told("a"), Ok("a".to_owned()));
    assert_eq!(told("b"), Ok("b".to_owned()));
    assert_eq!(told("broken"), Err("pay/broken at http://127.0.0.1:1 failed: connection reset".to_owned()));
    assert_eq!(told("refusing"), Err("pay/refusing at http://127.0.0.1:1 failed: it is not connected".to_owned()));
    assert_eq!(answers.len(), 4);
    assert_eq!(["a", "b", "broken", "refusing"].map(|id| fleet.requests(id)), [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn broadcast_tells_of_an_endpoint_whose_connection_has_just_ended() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    fleet.set("b", Behaviour::Refuse);
    fleet.cut("b");
    // Before the balancer has seen it, and after.
    for _ in 0..2 {
        let answers = channel.broadcast(2, |endpoint| async move { ask(&endpoint).await.map(|(id, _)| id) });
        let mut answers: Vec<_> =
            answers.map(|(target, answer)| (target.key().id().to_owned(), answer)).collect().await;
        answers.sort_by(|(one, _), (two, _)| one.cmp(two));
        let told: Vec<_> = answers.iter().map(|(_, answer)| answer.as_ref().map_err(ToString::to_string)).collect();
        let lost = "pay/b at http://127.0.0.1:2 failed: it is not connected".to_owned();
        assert_eq!(told, [Ok(&"a".to_owned()), Err(lost)]);
        connected(&channel, &["a"]).await;
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_has_no_more_calls_under_way_than_allowed() {
    let (view, mut publisher) = pay();
    publisher.replace((0..20).map(|number| instance(&format!("{number:02}"), 1)));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(Fleet::default());
    channel.wait_until(|targets| targets.len() == 20).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let answers = channel.broadcast(3, |endpoint| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
            let answer = ask(&endpoint).await;
            now.fetch_sub(1, Ordering::Relaxed);
            answer.is_ok()
        }
    });
    let answers: Vec<_> = answers.map(|(_, is_answered)| is_answered).collect().await;
    assert_eq!(answers, [true; 20]);
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_channel_follows_its_endpoint_through_reconnects_until_it_goes() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    let pinned = channel.endpoints().into_iter().find(|endpoint| endpoint.target().key().id() == "a").unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&pinned).await.unwrap().0, "a");
    }
    fleet.cut("a");
    let error = ask(&pinned).await.unwrap_err();
    assert_eq!(error.target().unwrap().key().id(), "a");
    connected(&channel, &["a", "b"]).await;
    assert_eq!(ask(&pinned).await.unwrap().0, "a");
    publisher.remove("a");
    connected(&channel, &["b"]).await;
    assert!(matches!(ask(&pinned).await, Err(Error::Endpoint { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_a_grpc_caller_sees_as_a_status_names_the_endpoint_in_extensions_too() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::Break);
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet);
    let call = Request::post("/pay.Pay/Charge").header("content-type", "application/grpc");
    let answer = channel.oneshot(call.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(answer.extensions().get::<ServedBy>().unwrap().target().key().id(), "a");
    assert!(matches!(**answer.extensions().get::<Arc<Error>>().unwrap(), Error::Endpoint { .. }));
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_connected_endpoints_and_ends_with_the_channel() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    let one = channel.readiness();
    let mut two = channel.ready_when(|standing| standing.connected >= 2);
    assert!(!one.is_ready() && one.standing().known.is_none());
    assert_eq!(two.changed().await, Some(false));

    publisher.put(instance("a", 1));
    one.ready().await.unwrap();
    assert!(one.is_ready() && !two.is_ready());
    publisher.put(instance("b", 2));
    assert_eq!(two.changed().await, Some(true));
    assert_eq!((two.standing().known, two.standing().connected), (Some(2), 2));

    fleet.set("b", Behaviour::Refuse);
    fleet.cut("b");
    assert_eq!(two.changed().await, Some(false));
    assert!(one.is_ready());

    let ended = channel.ended();
    drop(channel);
    ended.await;
    assert!(!one.is_ready());
    eventually(|| one.standing().connected == 0).await;
    assert_eq!(two.ready().await, Err(ChannelEnded));
    assert_eq!(two.changed().await, None);
}
