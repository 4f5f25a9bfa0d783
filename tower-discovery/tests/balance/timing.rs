//! What counts as the time that an endpoint takes: not the wait for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;
use tower_discovery::{Balance, BoxError, DiscoveryLayer, RequestBody, Target};
use tower_layer::Layer;

use crate::kit::{Connection, Fleet, ask, connected, instance, pay};

/// Makes connections to a fleet that take no request before a moment.
#[derive(Clone)]
struct Gate {
    fleet: Fleet,
    opens: Instant,
}

struct Gated {
    connection: Connection,
    opens: Pin<Box<Sleep>>,
}

impl Clone for Gated {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), opens: Box::pin(sleep_until(self.opens.deadline())) }
    }
}

impl Service<Target> for Gate {
    type Response = Gated;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Gated, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = self.fleet.call(target);
        let opens = self.opens;
        Box::pin(async move { Ok(Gated { connection: connecting.await?, opens: Box::pin(sleep_until(opens)) }) })
    }
}

impl Service<Request<RequestBody>> for Gated {
    type Response = <Connection as Service<Request<RequestBody>>>::Response;
    type Error = BoxError;
    type Future = <Connection as Service<Request<RequestBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.opens.as_mut().poll(cx));
        self.connection.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        self.connection.call(request)
    }
}

/// How many of 1,000 requests go to `a`, which had the first of all.
async fn share_of_a<S>(channel: &Balance<S>) -> usize
where
    Balance<S>: Service<
            Request<http_body_util::Full<bytes::Bytes>>,
            Response = http::Response<tower_discovery::ResponseBody<http_body_util::Full<bytes::Bytes>>>,
            Error = tower_discovery::Error,
        >,
{
    let mut share = 0;
    for _ in 0..1_000 {
        share += usize::from(ask(channel).await.unwrap().0 == "a");
    }
    share
}

#[tokio::test(start_paused = true)]
async fn the_wait_until_there_is_an_endpoint_does_not_count_as_its_time_to_answer() {
    let (view, mut publisher) = pay();
    let channel = DiscoveryLayer::new(view).served_by(true).layer(Fleet::default());
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel).await.map(|(id, _)| id) }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    publisher.put(instance("a", 1));
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
    publisher.put(instance("b", 2));
    connected(&channel, &["a", "b"]).await;
    let share = share_of_a(&channel).await;
    assert!((380..620).contains(&share), "{share} of 1,000");
}

#[tokio::test(start_paused = true)]
async fn the_wait_until_a_connection_has_room_does_not_count_as_its_time_to_answer() {
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let opens = Instant::now() + Duration::from_secs(4);
    let channel = DiscoveryLayer::new(view).served_by(true).layer(Gate { fleet: Fleet::default(), opens });
    assert_eq!(ask(&channel).await.unwrap().0, "a");
    assert!(Instant::now() >= opens);
    publisher.put(instance("b", 2));
    connected(&channel, &["a", "b"]).await;
    let share = share_of_a(&channel).await;
    assert!((380..620).contains(&share), "{share} of 1,000");
}
