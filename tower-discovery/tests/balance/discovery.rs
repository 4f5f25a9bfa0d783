//! What changes of the set of endpoints do to requests.

use std::time::Duration;

use registry_client::Status;
use tokio::time::Instant;
use tower_discovery::{DiscoveryLayer, Error, NoEndpoint};
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, alive_tasks, ask, connected, eventually, instance, pay};

#[tokio::test(start_paused = true)]
async fn g14_an_idle_client_stays_current_through_10_000_changes() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("always", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["always"]).await;
    let before = alive_tasks();

    for change in 0..5_000_u16 {
        publisher.put_anew(instance("comes-and-goes", 2 + change));
        if change % 100 == 0 {
            connected(&channel, &["always", "comes-and-goes"]).await;
        }
        publisher.remove("comes-and-goes");
    }
    publisher.put(instance("last", 9));
    connected(&channel, &["always", "last"]).await;
    eventually(|| alive_tasks() <= before + 1).await;
    assert_eq!(fleet.connects("always"), 1);
}

#[tokio::test(start_paused = true)]
async fn g15_a_removed_endpoint_gets_no_new_request_and_its_in_flight_finish() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::Hold);
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    let in_flight = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel).await.map(|(id, _)| id) }
    });
    eventually(|| fleet.requests("a") == 1).await;

    publisher.replace([instance("b", 2)]);
    connected(&channel, &["b"]).await;
    for _ in 0..50 {
        assert_eq!(ask(&channel).await.unwrap().0, "b");
    }
    assert!(!in_flight.is_finished());
    fleet.release();
    assert_eq!(in_flight.await.unwrap().unwrap(), "a");
    assert_eq!(fleet.requests("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn g15_a_draining_endpoint_gets_no_new_request() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([instance("a", 1), instance("b", 2)]);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    let mut draining = instance("a", 1);
    draining.set_status(Status::Draining);
    publisher.put(draining);
    connected(&channel, &["b"]).await;
    for _ in 0..50 {
        assert_eq!(ask(&channel).await.unwrap().0, "b");
    }
}

#[tokio::test(start_paused = true)]
async fn g15_an_empty_set_fails_at_the_limit_and_says_what_is_known() {
    let limit = Duration::from_secs(3);
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let channel =
        DiscoveryLayer::new(view).served_by(true).on_no_endpoint(NoEndpoint::WaitUpTo(limit)).layer(fleet.clone());
    let fails = async || {
        let since = Instant::now();
        let error = ask(&channel).await.unwrap_err();
        let took = since.elapsed();
        assert!(took >= limit && took <= limit.mul_f64(1.1), "{took:?}");
        assert!(matches!(error, Error::NoEndpoint(_)));
        error.to_string()
    };

    assert_eq!(
        fails().await,
        "no endpoint of service \"pay\" can take the request: discovery has told nothing yet, after waiting 3s"
    );
    publisher.replace([]);
    assert!(fails().await.contains("0 known, 0 connected"));
    fleet.set("a", Behaviour::Refuse);
    publisher.put(instance("a", 1));
    let text = fails().await;
    assert!(text.contains("1 known, 0 connected"), "{text}");
    assert!(text.contains("pay/a at http://127.0.0.1:1: connection refused"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn g15_a_waiting_request_goes_to_the_first_endpoint_that_comes() {
    let (view, mut publisher) = pay();
    let channel = DiscoveryLayer::new(view).served_by(true).layer(Fleet::default());
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel).await.map(|(id, _)| id) }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!waiting.is_finished());
    publisher.put(instance("a", 1));
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn g15_fail_fast_waits_only_for_the_first_attempts_to_connect() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let channel = DiscoveryLayer::new(view).served_by(true).on_no_endpoint(NoEndpoint::FailFast).layer(fleet.clone());
    publisher.put(instance("a", 1));
    assert_eq!(ask(&channel).await.unwrap().0, "a", "it was not connected yet, but about to be");

    fleet.set("a", Behaviour::Refuse);
    fleet.cut("a");
    let since = Instant::now();
    assert!(matches!(ask(&channel).await, Err(Error::NoEndpoint(_))));
    assert!(since.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn g15_the_end_of_discovery_does_not_poison_the_channel() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a"]).await;
    publisher.lose_registry(std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(ask(&channel).await.unwrap().0, "a");
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ask(&channel).await.unwrap().0, "a");
    fleet.cut("a");
    assert_eq!(ask(&channel).await.unwrap().0, "a", "it is still connected to anew");
}

#[tokio::test(start_paused = true)]
async fn g16_a_changed_weight_keeps_the_connection_and_a_changed_address_replaces_it() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    connected(&channel, &["a"]).await;

    let mut heavy = instance("a", 1);
    heavy.set_weight(7);
    publisher.put(heavy);
    channel.wait_until(|targets| targets.iter().any(|target| target.instance().weight() == 7)).await;
    assert_eq!(fleet.connects("a"), 1);

    publisher.put(instance("a", 2));
    channel.wait_until(|targets| targets.iter().any(|target| target.endpoint().port() == 2)).await;
    assert_eq!(fleet.connects("a"), 2);

    publisher.put_anew(instance("a", 2));
    eventually(|| fleet.connects("a") == 3).await;
}
