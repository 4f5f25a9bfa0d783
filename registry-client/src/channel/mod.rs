//! The way to the registry: one HTTP/2 connection at a time, to whichever endpoint answers.
//!
//! [`Channel`] is what the generated stubs call. It connects when a call needs it, takes the endpoints in
//! turn, waits with growing, jittered pauses when none answers, and leaves a connection that
//! [`Channel::condemn`] names. `failure` turns an answer's status into what the SDK does about it. Calls are
//! never repeated here. A [`Connector`] opens the connections: `http2` in production.

mod connection;
#[cfg_attr(not(feature = "simulation"), expect(unreachable_pub, reason = "public in a simulation"))]
mod connector;
mod failure;
mod http2;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use connection::Connection;
#[cfg(not(feature = "simulation"))]
use connector::Connector;
#[cfg(feature = "simulation")]
pub use connector::{BoxFuture, Connector, Link, SendError};
pub(crate) use failure::{Failure, failure};
use http::{HeaderValue, Request, Response, Uri};
use http2::Http2;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

use crate::backoff::Delays;
use crate::instance::Endpoint;

/// A call that has no answer by then is given up; its outcome is unknown.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A stream that has not begun by then will not.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(4);
/// A call that has no connection by then was not sent, which says more than that it was given up. It is
/// shorter than the limits above.
const DIAL_LIMIT: Duration = Duration::from_millis(2_500);

/// Why a call did not get an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ChannelError {
    /// It was never put on the wire.
    #[error("no endpoint of the registry can be reached: {0}")]
    NotSent(String),
    /// The connection broke; the registry may have carried the call out.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, String),
}

/// The failover channel. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connector: Arc<dyn Connector>,
    endpoints: Vec<Endpoint>,
    dial: Mutex<Dial>,
}

/// What whoever connects needs; calls that need a connection wait in turn for it.
#[derive(Debug)]
struct Dial {
    current: Option<Connection>,
    /// The endpoint to try next.
    next: usize,
    delays: Delays,
    not_before: Instant,
}

impl Channel {
    /// Over the network. Endpoints must not be empty; they are tried in turn, from a random one on.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self::over(Arc::new(Http2), endpoints)
    }

    /// Over whatever the connector opens.
    pub(crate) fn over(connector: Arc<dyn Connector>, endpoints: Vec<Endpoint>) -> Self {
        let next = fastrand::usize(..endpoints.len().max(1));
        let dial = Dial { current: None, next, delays: Delays::random(), not_before: now() };
        Self { shared: Arc::new(Shared { connector, endpoints, dial: Mutex::new(dial) }) }
    }

    /// Leaves the connection that a call of that time went over to the calls that are still on it: new ones
    /// take the next endpoint. A connection that was made since is not to blame.
    pub(crate) fn condemn(&self, called_at: Instant) {
        // A dial in progress holds the lock: the old connection has been left already.
        if let Ok(mut dial) = self.shared.dial.try_lock() {
            dial.current.take_if(|current| current.opened_at <= called_at);
        }
    }

    /// Dropping it midway loses nothing: the next call goes on with the next endpoint.
    async fn connection(&self) -> Result<Connection, ChannelError> {
        let mut dial = self.shared.dial.lock().await;
        if let Some(connection) = dial.current.as_ref().filter(|current| current.is_usable()) {
            return Ok(connection.clone());
        }
        dial.current = None;
        tokio::time::sleep_until(dial.not_before).await;
        let mut last = String::from("no endpoint is configured");
        for _ in 0..self.shared.endpoints.len() {
            let endpoint = &self.shared.endpoints[dial.next % self.shared.endpoints.len()];
            dial.next = dial.next.wrapping_add(1);
            match Connection::open(&*self.shared.connector, endpoint).await {
                Ok(connection) => {
                    dial.delays = Delays::random();
                    dial.current = Some(connection.clone());
                    // An endpoint that accepts and breaks at once must not be dialled in a circle.
                    dial.not_before = now() + dial.delays.next();
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%endpoint, %error, "the endpoint cannot be reached");
                    last = format!("{endpoint}: {error}");
                }
            }
        }
        dial.not_before = now() + dial.delays.next();
        Err(ChannelError::NotSent(last))
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        let dialled = tokio::time::timeout(DIAL_LIMIT, self.connection()).await;
        let connection = dialled.map_err(|_| ChannelError::NotSent("still connecting".to_owned()))??;
        connection.send(request).await
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // A member without a leader must refuse, not answer from what it remembers.
        request.headers_mut().insert("hasleader", HeaderValue::from_static("true"));
        Box::pin(self.clone().send(request))
    }
}

/// The stubs give the path only.
fn with_origin(path: &Uri, endpoint: &Endpoint) -> Result<Uri, http::Error> {
    let path = path.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme(endpoint.scheme()).authority(endpoint.authority()).path_and_query(path).build()
}

fn now() -> Instant {
    Instant::now()
}
