//! What a connector is asked to connect to, and what an answer says about who gave it.
//!
//! A [`Key`] tells registrations apart: an instance that went and came back is another. A [`Target`] is one
//! endpoint of one registration at one moment, with the [`Liveness`] of the connection being made and the
//! tracker that its tasks belong to.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use registry_client::{Discovered, Endpoint};
use tokio_util::task::TaskTracker;

use crate::liveness::Liveness;
use crate::meters::EndpointMeters;

/// Which registration of which instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    id: Arc<str>,
    incarnation: i64,
}

impl Key {
    pub(crate) fn of(instance: &Discovered) -> Self {
        Self { id: instance.id().into(), incarnation: instance.incarnation() }
    }

    /// The instance's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The revision at which the instance was registered.
    pub fn incarnation(&self) -> i64 {
        self.incarnation
    }
}

/// An endpoint of an instance. Clones are cheap and are the same target.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

/// Behind one pointer, as each request clones it.
struct Inner {
    place: Arc<Place>,
    liveness: Liveness,
    tasks: TaskTracker,
}

struct Place {
    key: Key,
    instance: Arc<Discovered>,
    endpoint: Endpoint,
    /// Made when something is counted first; shared with what the same endpoint was and becomes by updates.
    meters: Arc<OnceLock<EndpointMeters>>,
}

impl Target {
    /// A target outside a balancer, for connectors used on their own.
    pub fn new(instance: Arc<Discovered>, endpoint: Endpoint) -> Self {
        let place = Place { key: Key::of(&instance), instance, endpoint, meters: Arc::default() };
        Self::at(Arc::new(place), Liveness::default(), TaskTracker::new())
    }

    fn at(place: Arc<Place>, liveness: Liveness, tasks: TaskTracker) -> Self {
        Self(Arc::new(Inner { place, liveness, tasks }))
    }

    /// Which registration it is.
    pub fn key(&self) -> &Key {
        &self.0.place.key
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        self.0.place.instance.service()
    }

    /// The instance as it was registered when it was last seen before connecting.
    pub fn instance(&self) -> &Discovered {
        &self.0.place.instance
    }

    /// Where to connect to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.place.endpoint
    }

    /// The life of the connection that is made to it. A connector ends it when the connection is lost; a
    /// connection whose `poll_ready` fails is ended by the balancer.
    pub fn liveness(&self) -> &Liveness {
        &self.0.liveness
    }

    /// Runs a task of the connection, counted among the balancer's.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.tasks.spawn(task);
    }

    /// Where what happens to it is counted.
    pub(crate) fn meters(&self) -> &EndpointMeters {
        self.0.place.meters.get_or_init(|| EndpointMeters::of(&self.0.place.instance))
    }

    /// The same registration and address, with what the instance says about itself now.
    pub(crate) fn updated(&self, instance: Arc<Discovered>) -> Self {
        let Place { key, endpoint, meters, .. } = &*self.0.place;
        let place = Place { key: key.clone(), instance, endpoint: endpoint.clone(), meters: Arc::clone(meters) };
        Self::at(Arc::new(place), Liveness::default(), TaskTracker::new())
    }

    /// The same place, about to be connected to once more.
    pub(crate) fn renewed(&self, tasks: &TaskTracker) -> Self {
        Self::at(Arc::clone(&self.0.place), Liveness::default(), tasks.clone())
    }

    /// This place with the connection of `other`.
    pub(crate) fn with_life_of(&self, other: &Self) -> Self {
        Self::at(Arc::clone(&self.0.place), other.0.liveness.clone(), other.0.tasks.clone())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} at {}", self.service(), self.key().id(), self.endpoint())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Target").field(&format_args!("{self}")).finish()
    }
}

/// Which endpoint had the request; an extension of every response that an endpoint gave if
/// [`DiscoveryLayer::served_by`](crate::DiscoveryLayer::served_by) asks for it, and always of those that tell a gRPC caller how an
/// endpoint failed. [`Error::target`](crate::Error::target) says it of errors.
///
/// ```
/// # fn example<B>(response: http::Response<B>) {
/// use tower_discovery::ServedBy;
///
/// if let Some(served) = response.extensions().get::<ServedBy>() {
///     println!("{} at {}", served.target().key().id(), served.target().endpoint());
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServedBy(pub(crate) Target);

impl ServedBy {
    /// The endpoint.
    pub fn target(&self) -> &Target {
        &self.0
    }
}
