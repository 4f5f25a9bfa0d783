//! The pool of HTTP/1.1 connections, against a server on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower_discovery::{DiscoveryLayer, HttpChannel, HttpConnect};
use tower_layer::Layer;

use crate::kit::{Answer, ask, connected, eventually, instance, pay};

/// Echoes bodies over HTTP/1.1; counts connections and closes them all when told.
pub(crate) struct Echo {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    hang_up: Arc<Notify>,
}

pub(crate) async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hang_up = Arc::new(Notify::new());
    let echo = Echo { port, accepted: Arc::clone(&accepted), open: Arc::clone(&open), hang_up: Arc::clone(&hang_up) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            open.fetch_add(1, Ordering::Relaxed);
            let (hang_up, open) = (Arc::clone(&hang_up), Arc::clone(&open));
            tokio::spawn(async move {
                let answer = service_fn(|request: Request<Incoming>| async move {
                    assert!(request.headers().contains_key("host") && request.uri().authority().is_none());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    Answer::Ok(Response::new(Full::new(body)))
                });
                let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::select! { _ = serving => {}, () = hang_up.notified() => {} }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    echo
}

async fn answer(channel: &HttpChannel) -> Bytes {
    let (_, answer) = ask(channel).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn one_connection_serves_requests_that_follow_each_other() {
    let echo = echo().await;
    let (view, mut publisher) = pay();
    publisher.put(instance("a", echo.port));
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new());
    for _ in 0..20 {
        assert_eq!(answer(&channel).await, "question");
    }
    // Returning a connection is a task of its own, so now and then a second one is opened.
    assert!(echo.accepted.load(Ordering::Relaxed) <= 3, "{}", echo.accepted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn requests_at_once_share_no_more_connections_than_allowed() {
    let echo = echo().await;
    let (view, mut publisher) = pay();
    publisher.put(instance("a", echo.port));
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new().connections(4));
    let asking = (0..64).map(|_| answer(&channel));
    for body in futures_util::future::join_all(asking).await {
        assert_eq!(body, "question");
    }
    assert!(echo.accepted.load(Ordering::Relaxed) <= 4, "{}", echo.accepted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_fails_no_request() {
    let echo = echo().await;
    let (view, mut publisher) = pay();
    publisher.put(instance("a", echo.port));
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new());
    connected(&channel, &["a"]).await;
    for _ in 0..3 {
        assert_eq!(answer(&channel).await, "question");
        echo.hang_up.notify_waiters();
        connected(&channel, &[]).await;
    }
    assert!(echo.accepted.load(Ordering::Relaxed) >= 3);
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed_but_for_the_last() {
    let echo = echo().await;
    let (view, mut publisher) = pay();
    publisher.put(instance("a", echo.port));
    let connector = HttpConnect::new().connections(8).idle_timeout(Duration::from_millis(100));
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(connector);
    futures_util::future::join_all((0..8).map(|_| answer(&channel))).await;
    assert!(echo.open.load(Ordering::Relaxed) > 1, "several were needed");
    eventually(|| echo.open.load(Ordering::Relaxed) == 1).await;
    let accepted = echo.accepted.load(Ordering::Relaxed);
    assert_eq!(answer(&channel).await, "question");
    assert_eq!(echo.accepted.load(Ordering::Relaxed), accepted, "the last one serves");
}

#[tokio::test]
async fn a_pool_that_cannot_grow_serves_on_with_what_it_has() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (view, mut publisher) = pay();
    publisher.put(instance("a", listener.local_addr().unwrap().port()));
    let (asked, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (is_asked, may_answer) = (Arc::clone(&asked), Arc::clone(&release));
    // One connection is accepted, and then nobody listens any more.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let answer = service_fn(|_request: Request<Incoming>| async {
            is_asked.notify_one();
            may_answer.notified().await;
            Answer::Ok(Response::new(Full::new(Bytes::from_static(b"question"))))
        });
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        serving.await.unwrap();
    });
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new());
    let first = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    asked.notified().await;
    let error = ask(&channel).await.unwrap_err();
    assert!(error.to_string().contains("no further connection could be opened"), "{error}");
    assert_eq!(channel.readiness().standing().connected, 1, "the one that is open counts");
    release.notify_one();
    assert_eq!(first.await.unwrap(), "question");
    release.notify_one();
    assert_eq!(answer(&channel).await, "question");
}
