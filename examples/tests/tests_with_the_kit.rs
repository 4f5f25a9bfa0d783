//! How to test a program that uses discovery: copy what fits.
//!
//! The program here is [`Checkout`], which asks the service `pay`. Most of its tests need no server: [`FakeDiscovery`]
//! is told what there is. The last one runs it against a real registry, with a partition.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use registry_client::{EmptyPolicy, Instance, Selector, Status, View};
use registry_testing::{FakeDiscovery, TestRegistry};
use tower::{Layer, ServiceExt, service_fn};
use tower_discovery::{DiscoveryLayer, NoEndpoint, RequestBody, Target};

/// The program under test: it takes a view, so that a test can give it any.
struct Checkout {
    pay: View,
}

impl Checkout {
    /// Asks one instance of `pay`, and says which one.
    async fn charge(&self) -> Result<String, tower_discovery::Error> {
        // Instead of a connection: whoever is asked says its own address.
        let connect = service_fn(|target: Target| async move {
            let address = target.endpoint().authority();
            let answer = move |_: Request<RequestBody>| {
                let address = address.clone();
                async move { Ok::<_, Infallible>(Response::new(Body::from(address))) }
            };
            Ok::<_, Infallible>(service_fn(answer))
        });
        let limit = NoEndpoint::WaitUpTo(Duration::from_secs(5));
        let channel = DiscoveryLayer::new(self.pay.clone()).on_no_endpoint(limit).layer(connect);
        let answer = channel.oneshot(Request::new(Body::empty())).await?;
        let body = answer.into_body().collect().await.expect("it is in memory").to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

fn checkout() -> (FakeDiscovery, Checkout) {
    let pay = FakeDiscovery::new("pay");
    let checkout = Checkout { pay: pay.view("grpc").on_empty(EmptyPolicy::Hold(Duration::from_secs(60))) };
    (pay, checkout)
}

#[tokio::test]
async fn it_asks_who_is_up() {
    let (pay, checkout) = checkout();
    pay.up("a", "grpc", "http://10.0.0.1:9000").unwrap();
    pay.up("b", "grpc", "http://10.0.0.2:9000").unwrap();
    pay.set_status("a", Status::Draining).unwrap();
    for _ in 0..10 {
        assert_eq!(checkout.charge().await.unwrap(), "10.0.0.2:9000");
    }
}

#[tokio::test]
async fn it_goes_on_without_a_registry() {
    let (pay, checkout) = checkout();
    pay.up("a", "grpc", "http://10.0.0.1:9000").unwrap();
    pay.lose_registry();
    assert_eq!(checkout.charge().await.unwrap(), "10.0.0.1:9000");
}

#[tokio::test(start_paused = true)]
async fn it_asks_the_last_instance_for_a_minute_after_it_vanished_and_then_says_that_there_is_none() {
    let (pay, checkout) = checkout();
    pay.up("a", "grpc", "http://10.0.0.1:9000").unwrap();
    assert_eq!(checkout.charge().await.unwrap(), "10.0.0.1:9000");
    pay.vanish("a").unwrap();
    assert_eq!(checkout.charge().await.unwrap(), "10.0.0.1:9000");
    // No minute passes: the clock is tokio's, and paused.
    tokio::time::advance(Duration::from_secs(60)).await;
    checkout.charge().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_lives_through_a_partition_from_a_real_registry() {
    let servers = TestRegistry::start().await.unwrap();
    let line = servers.line().unwrap();
    let registry = line.client().build().unwrap();
    let instance = Instance::builder("pay").endpoint("grpc", "http://10.0.0.1:9000").build().unwrap();
    let registration = registry.register(instance).await.unwrap();
    let view = registry.watch("pay").start().unwrap().select(Selector::endpoint("grpc"));
    let checkout = Checkout { pay: view };
    assert_eq!(checkout.charge().await.unwrap(), "10.0.0.1:9000");
    line.cut();
    assert_eq!(checkout.charge().await.unwrap(), "10.0.0.1:9000");
    line.open();
    drop(registration);
}
