//! The layer that turns a connector into a balanced channel, and its settings.

use std::sync::Arc;
use std::time::Duration;

use registry_client::View;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_layer::Layer;
use tower_service::Service;

use crate::backoff::Backoff;
use crate::balance::{Balance, Board, NoEndpoint};
use crate::driver::{ConnectPolicy, Driver};
use crate::error::BoxError;
use crate::target::Target;

/// Makes a [`Balance`] over the endpoints of a view from any connector: a `Service<Target>` that answers a
/// cloneable service of HTTP requests, such as [`GrpcConnect`](crate::GrpcConnect).
///
/// ```
/// use registry_client::{Instance, Selector, ServiceWatch};
/// use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect};
/// use tower_layer::Layer as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let (watch, _publisher) = ServiceWatch::manual("pay");
/// let view = watch.select(Selector::endpoint("grpc"));
/// let channel: GrpcChannel = DiscoveryLayer::new(view).layer(GrpcConnect::new());
/// // PayClient::new(channel)
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is given a connector"]
pub struct DiscoveryLayer {
    view: View,
    on_no_endpoint: NoEndpoint,
    connect: ConnectPolicy,
}

impl DiscoveryLayer {
    /// A layer over the endpoints that `view` selects.
    pub fn new(view: View) -> Self {
        Self { view, on_no_endpoint: NoEndpoint::default(), connect: ConnectPolicy::default() }
    }

    /// What a request does while no endpoint is connected; [`NoEndpoint::WaitUpTo`] 5 s unless set.
    pub fn on_no_endpoint(mut self, policy: NoEndpoint) -> Self {
        self.on_no_endpoint = policy;
        self
    }

    /// How long one attempt to connect may take; 5 s unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect.timeout = limit;
        self
    }

    /// The pauses between attempts to connect to one endpoint.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.connect.backoff = backoff;
        self
    }

    /// How many endpoints are connected to at the same time, at least 1; 64 unless set.
    pub fn parallel_connects(mut self, limit: usize) -> Self {
        self.connect.parallel = limit.max(1);
        self
    }
}

impl<C> Layer<C> for DiscoveryLayer
where
    C: Service<Target> + Clone + Send + 'static,
    C::Response: Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    type Service = Balance<C::Response>;

    /// Starts following the view.
    ///
    /// # Panics
    /// Outside a tokio runtime, as what follows the view is a task.
    fn layer(&self, connector: C) -> Self::Service {
        let board = Arc::new(Board::new(self.view.watch().service().into()));
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let driver = Driver::new(connector, self.view.clone(), Arc::clone(&board), self.connect, tasks.clone());
        tasks.spawn(driver.run(stop.clone()));
        Balance::new(board, self.on_no_endpoint, tasks, stop.drop_guard())
    }
}
