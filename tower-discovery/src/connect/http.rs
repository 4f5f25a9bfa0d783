//! Connecting to plain HTTP servers: HTTP/1.1 with a pool of connections, or HTTP/2 by prior knowledge.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use super::dial::DialError;
use super::http2::{Answer, Http2Connection, Http2Settings};
use super::pool::{Pool, PoolSettings};
use crate::body::RequestBody;
use crate::error::BoxError;
use crate::target::Target;

/// Connects to HTTP servers; HTTP/1.1 unless [`http2`](Self::http2) is asked for.
#[derive(Debug, Clone, Default)]
#[must_use = "a connector does nothing until a layer uses it"]
pub struct HttpConnect {
    pool: PoolSettings,
    /// Whether HTTP/2 is spoken.
    http2: bool,
}

/// The connections to one HTTP server. Clones share them.
#[derive(Debug, Clone)]
pub struct HttpConnection(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Http1(Arc<Pool>),
    Http2(Http2Connection),
}

impl HttpConnect {
    /// A connector of HTTP/1.1, with at most 32 connections to an endpoint.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks HTTP/2 without asking the server first.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// At most so many HTTP/1.1 connections to one endpoint, at least 1; further requests wait for one in
    /// their own task. 32 unless set.
    pub fn connections(mut self, limit: usize) -> Self {
        self.pool.connections = limit.max(1);
        self
    }

    /// How long one attempt to connect may take; 5 s unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.pool.dial.timeout = limit;
        self
    }

    /// Closes HTTP/1.1 connections that nobody has used for so long, but for the last; 90 s unless set.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.pool.idle_timeout = limit;
        self
    }

    /// How endpoints are secured whose scheme is `https`; without it they cannot be connected to.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: super::ClientTls) -> Self {
        self.pool.dial.tls = Some(tls);
        self
    }
}

impl Service<Target> for HttpConnect {
    type Response = HttpConnection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpConnection, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        if self.http2 {
            let settings = Http2Settings { dial: self.pool.dial.clone(), ..Http2Settings::default() };
            let opening = Http2Connection::open(target, settings);
            return Box::pin(async move { Ok(HttpConnection(Kind::Http2(opening.await?))) });
        }
        let opening = Pool::open(target, self.pool.clone());
        Box::pin(async move { Ok(HttpConnection(Kind::Http1(opening.await?))) })
    }
}

impl Service<Request<RequestBody>> for HttpConnection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.0 {
            // A pool opens what it needs; its end is told by the target's liveness.
            Kind::Http1(_) => Poll::Ready(Ok(())),
            Kind::Http2(connection) => connection.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<RequestBody>) -> Answer {
        match &mut self.0 {
            Kind::Http1(pool) => Box::pin(Arc::clone(pool).send(request)),
            Kind::Http2(connection) => connection.send(request),
        }
    }
}
