//! Which endpoint a request goes to.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use tower_discovery::{DiscoveryLayer, ServedBy};
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, alive_tasks, ask, connected, eventually, instance, pay};

#[tokio::test(start_paused = true)]
async fn load_counts_until_the_answers_body_ends_or_is_dropped() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;

    let (busy, answer) = ask(&channel).await.unwrap();
    for _ in 0..50 {
        assert_ne!(ask(&channel).await.unwrap().0, busy, "its answer has not been read yet");
    }
    answer.into_body().collect().await.unwrap();
    let mut returned = false;
    for _ in 0..50 {
        returned |= ask(&channel).await.unwrap().0 == busy;
    }
    assert!(returned, "the load is gone with the end of the body");

    let (busy, answer) = ask(&channel).await.unwrap();
    drop(answer);
    returned = false;
    for _ in 0..50 {
        returned |= ask(&channel).await.unwrap().0 == busy;
    }
    assert!(returned, "the load is gone with the body");
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_who_gave_it_if_that_was_asked_for() {
    for tell in [false, true] {
        let (view, mut publisher) = pay();
        publisher.replace([instance("a", 1)]);
        let channel = DiscoveryLayer::new(view).served_by(tell).layer(Fleet::default());
        connected(&channel, &["a"]).await;
        let answer = channel.oneshot(Request::new(Full::new(Bytes::new()))).await.unwrap();
        let served = answer.extensions().get::<ServedBy>().map(|served| served.target().key().id());
        assert_eq!(served, tell.then_some("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_no_load() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::Hold);
    fleet.set("b", Behaviour::Hold);
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;

    for _ in 0..100 {
        assert!(tokio::time::timeout(Duration::from_millis(1), ask(&channel)).await.is_err());
    }
    let (a, b) = (fleet.requests("a"), fleet.requests("b"));
    assert!(a > 20 && b > 20, "what was given up does not weigh on an endpoint: {a} and {b}");
}

#[tokio::test(start_paused = true)]
async fn g14_an_endpoint_that_cannot_be_connected_to_gets_no_request() {
    let fleet = Fleet::default();
    fleet.set("refuses", Behaviour::Refuse);
    fleet.set("swallows", Behaviour::Swallow);
    let (view, mut publisher) = pay();
    publisher.replace([instance("refuses", 1), instance("swallows", 2), instance("serves", 3)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());

    for _ in 0..100 {
        assert_eq!(ask(&channel).await.unwrap().0, "serves");
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    assert_eq!(fleet.requests("refuses") + fleet.requests("swallows"), 0);
    assert!((4..20).contains(&fleet.connects("refuses")), "{}", fleet.connects("refuses"));
    assert!((2..12).contains(&fleet.connects("swallows")), "{}", fleet.connects("swallows"));
}

#[tokio::test(start_paused = true)]
async fn g14_a_lost_connection_gets_no_request_and_is_made_anew() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;

    fleet.set("a", Behaviour::Refuse);
    fleet.cut("a");
    for _ in 0..50 {
        assert_eq!(ask(&channel).await.unwrap().0, "b");
    }
    fleet.set("a", Behaviour::Serve);
    connected(&channel, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_fast_error_attracts_no_traffic() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::Fail);
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;

    for _ in 0..1000 {
        ask(&channel).await.unwrap();
    }
    assert!(fleet.requests("a") <= 2, "{}", fleet.requests("a"));
}

#[tokio::test(start_paused = true)]
async fn tasks_and_connections_end_with_the_last_clone() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace((1..=20).map(|port| instance(&format!("{port}"), port)));
    let before = alive_tasks();
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    channel.wait_until(|targets| targets.len() == 20).await;
    assert!(alive_tasks() > before);

    let clone = channel.clone();
    let ended = channel.ended();
    drop(channel);
    ask(&clone).await.unwrap();
    drop(clone);
    ended.await;
    eventually(|| alive_tasks() == before).await;
}
