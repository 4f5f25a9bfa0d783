//! A small pool of HTTP/1.1 connections to one endpoint.
//!
//! The endpoint counts as connected while one of them is open: a server that closes idle connections is
//! connected to anew by the driver, which so finds out that it went. A request that a stale connection gave
//! back goes out on another one; only when the endpoint cannot be dialled is it given back as unsent. That ends
//! nothing while other connections are open.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dial::{DialError, DialSettings, Protocol, dial};
use crate::body::RequestBody;
use crate::error::{BoxError, NoFurtherConnection, Unsent};
use crate::target::Target;

/// Idle connections are not looked for oftener.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// How many and how long.
#[derive(Debug, Clone)]
pub(super) struct PoolSettings {
    pub(super) connections: usize,
    /// Connections that nobody has used for so long are closed, but for the last.
    pub(super) idle_timeout: Duration,
    pub(super) dial: DialSettings,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { connections: 32, idle_timeout: Duration::from_secs(90), dial: DialSettings::default() }
    }
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    target: Target,
    settings: PoolSettings,
    host: HeaderValue,
    /// One permit for each connection that is in use.
    permits: Arc<Semaphore>,
    connections: Mutex<Connections>,
    /// Ends what looks for idle connections.
    _reaping: DropGuard,
}

#[derive(Debug, Default)]
struct Connections {
    /// Not in use, the one used last at the end.
    idle: Vec<Idle>,
    /// In use or not.
    open: usize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

impl Pool {
    /// A pool with one connection in it, which shows that the endpoint can be reached.
    pub(super) async fn open(target: Target, settings: PoolSettings) -> Result<Arc<Self>, DialError> {
        let host = HeaderValue::try_from(target.endpoint().authority());
        let host = host.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let permits = Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS)));
        let stop = CancellationToken::new();
        let connections = Mutex::default();
        let pool = Self { target, settings, host, permits, connections, _reaping: stop.clone().drop_guard() };
        let pool = Arc::new(pool);
        let sender = pool.dial().await?;
        pool.put_back(sender);
        let reaping = reap(Arc::downgrade(&pool), pool.settings.idle_timeout);
        pool.target.spawn(stop.run_until_cancelled_owned(reaping));
        Ok(pool)
    }

    /// Sends the request on a connection of its own.
    pub(super) async fn send(
        self: Arc<Self>,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, BoxError> {
        self.prepare(&mut request);
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        loop {
            let idle = self.take();
            let is_reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => match self.dial().await {
                    Ok(sender) => sender,
                    Err(error) => return Err(self.give_back(request, error.into(), 0)),
                },
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.recycle(sender, permit);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_reused => request = unsent,
                    // The new one may still be counted as open.
                    Some(request) => return Err(self.give_back(request, error.into_error().into(), 1)),
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }

    /// The request as unsent. While more than so many connections are open they serve on.
    fn give_back(&self, request: Request<RequestBody>, source: BoxError, closing: usize) -> BoxError {
        let serves_on = self.connections.lock().open > closing;
        let source = if serves_on { Box::new(NoFurtherConnection(source)) } else { source };
        Box::new(Unsent { request, source })
    }

    /// In HTTP/1.1 the path stands in the request line and the origin in `Host`.
    fn prepare(&self, request: &mut Request<RequestBody>) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path).unwrap_or_default();
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
    }

    fn take(&self) -> Option<SendRequest<RequestBody>> {
        let idle = &mut self.connections.lock().idle;
        while let Some(idle) = idle.pop() {
            if idle.sender.is_ready() {
                return Some(idle.sender);
            }
        }
        None
    }

    fn put_back(&self, sender: SendRequest<RequestBody>) {
        if !sender.is_closed() {
            self.connections.lock().idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// The connection is free when the answer's body was read to its end.
    fn recycle(self: &Arc<Self>, mut sender: SendRequest<RequestBody>, permit: OwnedSemaphorePermit) {
        if sender.is_ready() {
            return self.put_back(sender);
        }
        let pool = Arc::downgrade(self);
        self.target.spawn(async move {
            let is_ready = sender.ready().await.is_ok();
            if let Some(pool) = pool.upgrade().filter(|_| is_ready) {
                pool.put_back(sender);
            }
            drop(permit);
        });
    }

    async fn dial(self: &Arc<Self>) -> Result<SendRequest<RequestBody>, DialError> {
        let stream = dial(&self.target, &self.settings.dial, Protocol::Http1).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        self.connections.lock().open += 1;
        let open = Open(Arc::downgrade(self));
        let name = self.target.clone();
        self.target.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target = %name, %error, "connection failed");
            }
            drop(open);
        });
        Ok(sender)
    }
}

/// Closes connections that nobody has used for long, those first that have waited longest.
async fn reap(pool: Weak<Pool>, limit: Duration) {
    loop {
        sleep((limit / 2).max(SHORTEST_LOOK)).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut connections = pool.connections.lock();
        let spare = connections.open.saturating_sub(1);
        let stale = connections.idle.iter().take_while(|idle| idle.since.elapsed() >= limit).count();
        connections.idle.drain(..stale.min(spare));
    }
}

/// Counts a connection until it is closed.
struct Open(Weak<Pool>);

impl Drop for Open {
    fn drop(&mut self) {
        let Some(pool) = self.0.upgrade() else {
            return;
        };
        let mut connections = pool.connections.lock();
        connections.open -= 1;
        connections.idle.retain(|idle| !idle.sender.is_closed());
        if connections.open == 0 {
            pool.target.liveness().end();
        }
    }
}
