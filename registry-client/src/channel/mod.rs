//! The way to the registry: one HTTP/2 connection at a time, to whichever endpoint answers.
//!
//! [`Channel`] is what the generated stubs call. It connects when a call needs it, takes the endpoints in
//! turn, waits with growing, jittered pauses when none answers, and leaves a connection that
//! [`Channel::condemn`] names. `failure` turns an answer's status into what the SDK does about it. Calls are
//! never repeated here.

mod connection;
mod failure;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use backon::ExponentialBackoff;
use connection::Connection;
pub(crate) use failure::failure;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

use crate::instance::Endpoint;
use crate::registration::machine::delays;

/// A call that has no answer by then is given up; its outcome is unknown.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

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
    endpoints: Vec<Endpoint>,
    dial: Mutex<Dial>,
    /// Connections up to this number are not used for new calls.
    condemned: AtomicU64,
}

/// What whoever connects needs; calls that need a connection wait in turn for it.
#[derive(Debug)]
struct Dial {
    current: Option<Connection>,
    /// The number of the newest connection.
    number: u64,
    /// The endpoint to try next.
    next: usize,
    delays: ExponentialBackoff,
    not_before: Instant,
}

impl Channel {
    /// Endpoints must not be empty; they are tried in turn, from a random one on.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        let next = fastrand::usize(..endpoints.len().max(1));
        let dial = Dial { current: None, number: 0, next, delays: delays(fastrand::u64(..)), not_before: now() };
        let shared = Shared { endpoints, dial: Mutex::new(dial), condemned: AtomicU64::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Leaves the present connection to the calls that are on it: new ones take the next endpoint.
    pub(crate) fn condemn(&self) {
        // A dial in progress holds the lock and will yield a connection nobody has complained about yet.
        if let Ok(dial) = self.shared.dial.try_lock() {
            self.shared.condemned.fetch_max(dial.number, Ordering::Relaxed);
        }
    }

    async fn connection(&self) -> Result<Connection, ChannelError> {
        let mut dial = self.shared.dial.lock().await;
        let condemned = self.shared.condemned.load(Ordering::Relaxed);
        if let Some(connection) = dial.current.as_ref().filter(|current| current.is_usable(condemned)) {
            return Ok(connection.clone());
        }
        dial.current = None;
        tokio::time::sleep_until(dial.not_before).await;
        let mut last = String::from("no endpoint is configured");
        for _ in 0..self.shared.endpoints.len() {
            let endpoint = &self.shared.endpoints[dial.next % self.shared.endpoints.len()];
            dial.next = dial.next.wrapping_add(1);
            match Connection::open(endpoint, dial.number + 1).await {
                Ok(connection) => {
                    dial.number += 1;
                    dial.delays = delays(fastrand::u64(..));
                    dial.current = Some(connection.clone());
                    // An endpoint that accepts and breaks at once must not be dialled in a circle.
                    dial.not_before = now() + dial.delays.next().unwrap_or(CALL_LIMIT);
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%endpoint, %error, "the endpoint cannot be reached");
                    last = format!("{endpoint}: {error}");
                }
            }
        }
        dial.not_before = now() + dial.delays.next().unwrap_or(CALL_LIMIT);
        Err(ChannelError::NotSent(last))
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Incoming>, ChannelError> {
        let connection = self.connection().await?;
        connection.send(request).await
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = ChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, ChannelError>> + Send>>;

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
