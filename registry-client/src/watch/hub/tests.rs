//! The stream against registries that are away or take nothing, on paused time.

use std::pin::Pin;

use http::{Request, Response};
use tonic::body::Body;

use super::*;
use crate::channel::{BoxFuture, Connector, Link, SendError};
use crate::instance::Endpoint;

const PATIENCE: Duration = Duration::from_secs(120);

/// Nobody can be reached.
#[derive(Debug)]
struct Away;

impl Connector for Away {
    fn connect(&self, _: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        Box::pin(async { Err("away".to_owned()) })
    }
}

/// Streams open, take nothing and say nothing.
#[derive(Debug, Clone)]
struct Deaf;

impl Connector for Deaf {
    fn connect(&self, _: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        Box::pin(async { Ok(Box::new(Self) as Box<dyn Link>) })
    }
}

impl Link for Deaf {
    fn is_usable(&self) -> bool {
        true
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        Box::pin(async move { Ok(Response::new(Body::new(Unread(request.into_body())))) })
    }
}

/// Holds the request's body for as long as the answer is held.
struct Unread(#[expect(dead_code, reason = "it is held, and not read")] Body);

impl http_body::Body for Unread {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn hub(connector: impl Connector + 'static) -> WatchHub {
    let endpoints = vec![Endpoint::parse("http://10.0.0.1:2379").unwrap()];
    let (hub, stream) = WatchHub::new(Channel::over(Arc::new(connector), endpoints, None, false));
    drop(tokio::spawn(stream));
    hub
}

async fn is_lost(mut watch: Watch) -> bool {
    let message = timeout(PATIENCE, watch.next()).await.expect("it is told something");
    matches!(message, Some(Message::Lost(_)))
}

#[tokio::test(start_paused = true)]
async fn g05_watches_of_a_registry_that_is_away_leave_nothing_to_cancel() {
    let hub = hub(Away);
    for _ in 0..50 {
        assert!(is_lost(hub.watch(Span::prefix("/services/pay/"), 1).await).await);
    }
    assert!(hub.dropped.ids.lock().len() <= 1, "{:?}", hub.dropped.ids.lock());
}

#[tokio::test(start_paused = true)]
async fn g05_a_stream_that_takes_nothing_is_found_lost_however_many_watches_wait_for_it() {
    let hub = hub(Deaf);
    let first = hub.watch(Span::prefix("/services/pay/"), 1).await;
    let more: Vec<_> = (0..2 * REQUEST_LIMIT)
        .map(|_| {
            let hub = hub.clone();
            tokio::spawn(async move { is_lost(hub.watch(Span::prefix("/services/pay/"), 1).await).await })
        })
        .collect();
    assert!(is_lost(first).await);
    for watch in more {
        assert!(watch.await.unwrap());
    }
}
