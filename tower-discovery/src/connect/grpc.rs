//! Connecting to gRPC servers.
//!
//! Over HTTP/2 the request needs this endpoint's origin and a user agent. Deadlines and statuses are the
//! balancer's, as they cover the wait for an endpoint too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::USER_AGENT;
use http::uri::Authority;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use super::dial::DialError;
use super::http2::{Answer, Http2Connection, Http2Settings};
use crate::body::RequestBody;
use crate::error::BoxError;
use crate::target::Target;

const AGENT: &str = concat!("tower-discovery/", env!("CARGO_PKG_VERSION"));

/// Makes one HTTP/2 connection to an endpoint, for gRPC calls of any client crate.
///
/// It is connected when the server has sent its settings, so a process that accepts but does not serve is
/// not taken for one that does.
#[derive(Debug, Clone, Default)]
#[must_use = "a connector does nothing until a layer uses it"]
pub struct GrpcConnect {
    settings: Http2Settings,
    agent: Option<HeaderValue>,
}

/// A connection to a gRPC server. Clones share it.
#[derive(Debug, Clone)]
pub struct GrpcConnection {
    connection: Http2Connection,
    agent: HeaderValue,
}

impl GrpcConnect {
    /// A connector with a connect timeout of 5 s and a ping every 10 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long connecting may take, up to the server's settings; 5 s unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.dial.timeout = limit;
        self
    }

    /// Pings the server each `interval` (at least 5 s), idle or not, and gives the connection up when a ping
    /// is not answered within `timeout`; 10 s and 5 s unless set.
    ///
    /// Some servers take frequent pings for abuse (grpc-go and grpc-java allow one in 5 minutes unless told
    /// otherwise): give them a long interval, or none.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.settings.keep_alive = Some((interval, timeout));
        self
    }

    /// Sends no pings. A peer that is silent for ever is then found out by the requests' deadlines only.
    pub fn no_keep_alive(mut self) -> Self {
        self.settings.keep_alive = None;
        self
    }

    /// What requests name as their `:authority`, whichever endpoint they go to; the endpoint's host and port unless set.
    /// For servers, or proxies before them, that tell services apart by name.
    pub fn origin(mut self, authority: Authority) -> Self {
        self.settings.authority = Some(authority);
        self
    }

    /// How endpoints are secured whose scheme is `https`; without it they cannot be connected to.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: super::ClientTls) -> Self {
        self.settings.dial.tls = Some(tls);
        self
    }

    /// Stands before this crate's own name in the `user-agent` of requests that bring none.
    pub fn user_agent(mut self, agent: &HeaderValue) -> Self {
        self.agent = Some(with_own_agent(agent));
        self
    }
}

/// The agent followed by this crate's name.
fn with_own_agent(agent: &HeaderValue) -> HeaderValue {
    let both = [agent.as_bytes(), b" ", AGENT.as_bytes()].concat();
    HeaderValue::from_bytes(&both).expect("two header values and a space make a header value")
}

impl Service<Target> for GrpcConnect {
    type Response = GrpcConnection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<GrpcConnection, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let agent = self.agent.clone().unwrap_or(HeaderValue::from_static(AGENT));
        let opening = Http2Connection::open(target, self.settings.clone());
        Box::pin(async move { Ok(GrpcConnection { connection: opening.await?, agent }) })
    }
}

impl Service<Request<RequestBody>> for GrpcConnection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connection.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Answer {
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.agent.clone());
        self.connection.send(request)
    }
}
