//! Requests that are sent again by the retry layer, and those that are not.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_discovery::retry::{Idempotent, Retry, RetryBudget, RetryLayer};
use tower_discovery::{Balance, DiscoveryLayer, Error};

use crate::kit::{Behaviour, Connection, Fleet, connected, instance, pay};

type Channel = Retry<Balance<Connection>>;

/// A channel over these endpoints, each of which behaves so.
async fn over(retries: RetryLayer, endpoints: &[(&str, Behaviour)]) -> (Channel, Fleet) {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    for (id, behaviour) in endpoints {
        fleet.set(id, *behaviour);
        publisher.put(instance(id, 1));
    }
    let balance = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
    let mut ids: Vec<_> = endpoints.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    connected(&balance, &ids).await;
    (retries.layer(balance), fleet)
}

fn request(method: Method, size: usize) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(vec![b'x'; size]));
    Request::builder().method(method).uri("/ask").body(body).unwrap()
}

/// How many of 40 requests failed.
async fn failures(channel: &Channel, request: impl Fn() -> Request<Full<Bytes>>) -> usize {
    let mut failures = 0;
    for _ in 0..40 {
        match channel.clone().oneshot(request()).await {
            Ok(answer) if answer.status().is_success() => {
                let sent = http_body::Body::size_hint(request().body()).exact().unwrap();
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body.len() as u64, sent, "the whole body was sent again");
            }
            Ok(_) | Err(Error::Endpoint { .. }) => failures += 1,
            Err(other) => panic!("{other}"),
        }
    }
    failures
}

const BESIDE_A_BROKEN_ONE: [(&str, Behaviour); 2] = [("bad", Behaviour::Break), ("good", Behaviour::Serve)];

#[tokio::test(start_paused = true)]
async fn an_idempotent_request_that_failed_is_sent_again_with_its_body() {
    let (channel, fleet) = over(RetryLayer::new(), &BESIDE_A_BROKEN_ONE).await;
    assert_eq!(failures(&channel, || request(Method::PUT, 1000)).await, 0);
    assert!(fleet.requests("bad") > 0, "the case was met");
}

#[tokio::test(start_paused = true)]
async fn another_request_is_sent_once_unless_told_that_it_may_be_sent_twice() {
    let (channel, fleet) = over(RetryLayer::new(), &BESIDE_A_BROKEN_ONE).await;
    let failed = failures(&channel, || request(Method::POST, 10)).await;
    assert!(failed > 0 && failed == fleet.requests("bad"), "{failed} of {}", fleet.requests("bad"));

    let (channel, fleet) = over(RetryLayer::new(), &BESIDE_A_BROKEN_ONE).await;
    let marked = || {
        let mut request = request(Method::POST, 10);
        request.extensions_mut().insert(Idempotent);
        request
    };
    assert_eq!(failures(&channel, marked).await, 0);
    assert!(fleet.requests("bad") > 0, "the case was met");

    let told = RetryLayer::new().idempotent_when(|head| head.uri.path() == "/ask");
    let (channel, _fleet) = over(told, &BESIDE_A_BROKEN_ONE).await;
    assert_eq!(failures(&channel, || request(Method::POST, 10)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_cap_is_sent_once() {
    let failing = [("a", Behaviour::FailAfterReading)];
    for (size, sent) in [(100, 3), (101, 1)] {
        let (channel, fleet) = over(RetryLayer::new().keep_at_most(100), &failing).await;
        let answer = channel.oneshot(request(Method::PUT, size)).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(fleet.requests("a"), sent, "a body of {size} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn repetitions_end_with_the_attempts_and_with_the_budget() {
    let broken = [("a", Behaviour::Break), ("b", Behaviour::Break)];
    let sent = |fleet: &Fleet| fleet.requests("a") + fleet.requests("b");
    let (channel, fleet) = over(RetryLayer::new().attempts(4), &broken).await;
    let since = Instant::now();
    channel.clone().oneshot(request(Method::GET, 0)).await.unwrap_err();
    assert_eq!(sent(&fleet), 4);
    // Three pauses of 12 to 25, 25 to 50 and 50 to 100 ms.
    let took = since.elapsed();
    assert!((Duration::from_millis(80)..Duration::from_millis(200)).contains(&took), "{took:?}");

    let scarce = RetryLayer::new().attempts(4).budget(RetryBudget::new(0, 0.1));
    let (channel, fleet) = over(scarce, &broken).await;
    for _ in 0..200 {
        channel.clone().oneshot(request(Method::GET, 0)).await.unwrap_err();
    }
    assert!((200..=220).contains(&sent(&fleet)), "{} for 200 requests", sent(&fleet));
}

#[tokio::test(start_paused = true)]
async fn a_calls_deadline_covers_all_attempts_and_each_is_told_what_is_left() {
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let server = tower::service_fn({
        let seen = std::sync::Arc::clone(&seen);
        move |request: Request<tower_discovery::RequestBody>| {
            let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            seen.lock().push((header("grpc-timeout"), header("grpc-previous-rpc-attempts")));
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                // As a server answers that has nothing else to say: the status stands in the headers.
                Ok::<_, std::io::Error>(Response::builder().header("grpc-status", "14").body(()).unwrap())
            }
        }
    });
    let call = Request::post("/pay.Pay/Balance")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "250m")
        .extension(Idempotent)
        .body(Full::<Bytes>::default())
        .unwrap();
    let since = Instant::now();
    let answer = RetryLayer::new().attempts(9).layer(server).oneshot(call).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    // The last attempt began before the deadline and took its 100 ms; timers round up to a millisecond, three of them here.
    assert!(since.elapsed() <= Duration::from_millis(353), "{:?}", since.elapsed());
    let seen = seen.lock().clone();
    assert_eq!(seen[0], (Some("250m".to_owned()), None));
    assert!((2..=3).contains(&seen.len()), "{seen:?}");
    let left: u64 = seen[1].0.as_deref().unwrap().trim_end_matches(['n', 'u']).parse().unwrap();
    assert!(seen[1].1.as_deref() == Some("1") && left < 150_000_000, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_budget_leaves_to_the_caller_goes_on_reading_the_request() {
    // Says at once that it failed, and sends back what it is sent.
    let server = tower::service_fn(|request: Request<tower_discovery::RequestBody>| async {
        Ok::<_, std::io::Error>(Response::builder().status(503).body(request.into_body()).unwrap())
    });
    let broke = RetryLayer::new().budget(RetryBudget::new(0, 0.0));
    let answer = broke.layer(server).oneshot(request(Method::PUT, 1000)).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 1000);
}
