//! The layer that turns a connector into a balanced channel, and its settings.

use std::sync::Arc;
use std::time::Duration;

use registry_client::View;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_layer::Layer;
use tower_service::Service;

use crate::backoff::Backoff;
use crate::balance::{Balance, Board, Manners, NoEndpoint};
use crate::balancing::subset::Order;
use crate::balancing::{Affinity, Balancing, OutlierEjection, Zone};
use crate::driver::{ConnectPolicy, Driver};
use crate::error::BoxError;
use crate::load::LoadMetric;
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
    balancing: Balancing,
    served_by: bool,
}

impl DiscoveryLayer {
    /// A layer over the endpoints that `view` selects.
    pub fn new(view: View) -> Self {
        Self {
            view,
            on_no_endpoint: NoEndpoint::default(),
            connect: ConnectPolicy::default(),
            balancing: Balancing::default(),
            served_by: false,
        }
    }

    /// By what the load of endpoints is measured; [`LoadMetric::peak_ewma`] unless set.
    pub fn load(mut self, metric: LoadMetric) -> Self {
        self.balancing.load = metric;
        self
    }

    /// Whether instances' weights count; they do unless set to `false`, and then all weigh the same.
    ///
    /// Requests are shared out in proportion to the weights, as long as loads allow it. An instance of weight 0
    /// gets requests only when no other can take them.
    pub fn weights(mut self, count: bool) -> Self {
        self.balancing.weights = count;
        self
    }

    /// Lets the weight of a new endpoint grow evenly, from a tenth to all of it, over this time from its first
    /// connection on; off unless set.
    ///
    /// New are endpoints that come after the first ones that the view tells of; one that is connected to once more is not.
    pub fn slow_start(mut self, warm_up: Duration) -> Self {
        self.balancing.slow_start = Some(warm_up).filter(|time| !time.is_zero());
        self
    }

    /// Takes endpoints that fail more than others out of use for a while; off unless set.
    pub fn outlier_ejection(mut self, ejection: OutlierEjection) -> Self {
        let interval = ejection.interval.max(Duration::from_millis(1));
        self.balancing.outliers = Some(OutlierEjection { interval, ..ejection });
        self
    }

    /// Below which part of the known endpoints that are connected and not ejected, ejections are ignored, as then what fails is probably
    /// not the endpoints; 0.5 unless set, brought within 0 and 1. Even at 0 an ejected endpoint serves when no other is connected.
    pub fn panic_threshold(mut self, part: f64) -> Self {
        self.balancing.panic_threshold = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Prefers endpoints of a zone; see [`Zone`] for when requests go elsewhere.
    pub fn locality(mut self, zone: Zone) -> Self {
        self.balancing.zone = Some(zone);
        self
    }

    /// Connects to `endpoints` of all endpoints only, at least 1; to all unless set.
    ///
    /// Each client takes others, so that clients spread over endpoints evenly, and an endpoint that comes or
    /// goes changes at most one place. One that cannot be connected to is stood in for, and
    /// tried on while no more than twice as many are. With a preferred zone, it is
    /// so many of the zone and so many of the others.
    pub fn subset(mut self, endpoints: usize) -> Self {
        self.balancing.subset = Some(endpoints.max(1));
        self
    }

    /// What tells this client's [`subset`](Self::subset) from others'; random unless set. One that outlives
    /// the process, as a host's name, keeps the subset over restarts.
    pub fn client_id(mut self, id: &str) -> Self {
        self.balancing.order = Order::of(id);
        self
    }

    /// Sends requests of one key to one endpoint, as long as it can take them; see [`Affinity`].
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.balancing.affinity = Some(affinity);
        self
    }

    /// Whether each answer has a [`ServedBy`](crate::ServedBy) among its extensions; not unless set, as it costs a request three
    /// allocations, more than the rest of the way. Errors name their endpoint in any case.
    pub fn served_by(mut self, tell: bool) -> Self {
        self.served_by = tell;
        self
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
    ///
    /// An attempt that has lasted 250 ms is counted apart, and lets another begin: of such there are at most four times as many. And
    /// endpoints whose last attempt failed have a half of the number. So those that never answer do not hold up the others.
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
        let (view, balancing) = (self.view.clone(), self.balancing.clone());
        let driver = Driver::new(connector, view, Arc::clone(&board), self.connect, balancing, tasks.clone());
        tasks.spawn(driver.run(stop.clone()));
        let manners = Manners {
            on_no_endpoint: self.on_no_endpoint,
            affinity: self.balancing.affinity.clone(),
            served_by: self.served_by,
        };
        Balance::new(board, manners, tasks, stop.drop_guard())
    }
}
