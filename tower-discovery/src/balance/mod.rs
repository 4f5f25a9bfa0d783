//! The balancer that callers hold: a cheap clone, always ready, that picks an endpoint for each request.
//!
//! [`Balance`] is the service; `dispatch` is the way of one request through it. The driver publishes pickers
//! here, and no request ever passes through its task.
//! When the last clone is dropped and the last answer was begun, the driver and its connections end.

mod dispatch;
mod head;
mod no_endpoint;
mod pinned;
mod readiness;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
pub use no_endpoint::NoEndpoint;
pub use pinned::Pinned;
pub use readiness::{ChannelEnded, Readiness, Standing};
use tokio::sync::{Notify, watch};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::balancing::Affinity;
use crate::body::{RequestBody, ResponseBody};
use crate::error::{BoxError, Error};
use crate::meters::ChannelMeters;
use crate::picker::Picker;
use crate::target::Target;

/// A service that sends each request to one of the endpoints of a view; made by
/// [`DiscoveryLayer`](crate::DiscoveryLayer).
///
/// It is always ready: what has to be waited for, as an endpoint while there is none, is waited for by the
/// request's own future, for a bounded time. Dropping that future cancels the request.
///
/// A gRPC call (by its content type) is answered with a status where another request gets an [`Error`], and
/// its `grpc-timeout` is enforced from here to the end of the answer, the wait for an endpoint included.
///
/// A request that no endpoint has looked at (its connection gave it back, or the server refused the stream)
/// is sent once more, to another endpoint, as long as no more than 64 KiB of its body were read until then.
/// Nothing else is ever sent twice.
pub struct Balance<S> {
    shared: Arc<Shared<S>>,
}

/// What all clones share; its drop ends the driver.
struct Shared<S> {
    board: Arc<Board<S>>,
    manners: Manners,
    tasks: TaskTracker,
    _stop: DropGuard,
}

/// How requests are dealt with.
pub(crate) struct Manners {
    pub(crate) on_no_endpoint: NoEndpoint,
    pub(crate) affinity: Option<Affinity>,
    /// Answers say who gave them.
    pub(crate) served_by: bool,
}

/// Where the driver puts the newest picker.
pub(crate) struct Board<S> {
    pub(crate) service: Arc<str>,
    picker: ArcSwap<Picker<S>>,
    changed: Notify,
    standing: watch::Sender<Standing>,
    meters: ChannelMeters,
}

impl<S> Board<S> {
    pub(crate) fn new(service: Arc<str>) -> Self {
        let picker = ArcSwap::from_pointee(Picker::empty());
        let meters = ChannelMeters::of(&service);
        Self { service, picker, changed: Notify::new(), standing: watch::Sender::default(), meters }
    }

    pub(crate) fn publish(&self, picker: Picker<S>) {
        let standing = Standing { known: picker.outlook.known, connected: picker.connected() };
        let ejected = picker.outlook.ejected;
        self.picker.store(Arc::new(picker));
        self.standing.send_replace(standing);
        self.meters.tell(standing, ejected);
        self.changed.notify_waiters();
    }

    /// Waits until a picker answers, first the present one. Each is asked once.
    async fn wait_for<T>(&self, mut answer: impl FnMut(&Picker<S>) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the picker is read, so that one published in between is not missed.
            changed.as_mut().enable();
            if let Some(found) = answer(&self.picker.load()) {
                return found;
            }
            changed.await;
        }
    }
}

impl<S> Balance<S> {
    pub(crate) fn new(board: Arc<Board<S>>, manners: Manners, tasks: TaskTracker, stop: DropGuard) -> Self {
        Self { shared: Arc::new(Shared { board, manners, tasks, _stop: stop }) }
    }

    /// The endpoints that requests can go to now.
    pub fn connected(&self) -> Vec<Target> {
        self.shared.board.picker.load().targets()
    }

    /// Waits until the connected endpoints are as `condition` wants them, and answers them. Dropping the
    /// future has no effect.
    pub async fn wait_until(&self, mut condition: impl FnMut(&[Target]) -> bool) -> Vec<Target> {
        self.shared.board.wait_for(|picker| Some(picker.targets()).filter(|targets| condition(targets))).await
    }

    /// Resolves when the driver and all connections have ended, which they do after the last clone is
    /// dropped and the last answer has ended. The future does not keep them alive.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let tasks = self.shared.tasks.clone();
        async move { tasks.wait().await }
    }
}

impl<S, B, R> Service<Request<B>> for Balance<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(dispatch::call(Arc::clone(&self.shared), None, request.map(RequestBody::new)))
    }
}

impl<S> Clone for Balance<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Balance<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Balance");
        debug.field("service", &self.shared.board.service).field("connected", &self.connected()).finish()
    }
}
