//! A server and its registration in one: from a bound listener to the revoked lease, in the right order.
//!
//! `advertise` finds the address that others are told, `stop` tells the server, `order` has the steps. All of it
//! runs in the caller's future; the registration's own work is on the SDK's thread as always.

mod advertise;
mod order;
mod stop;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

pub use advertise::{Advertise, AdvertiseError};
pub use stop::{Bound, Stop};

use crate::client::{Register, Registry};
use crate::error::Error;
use crate::instance::Instance;
use crate::registration::{Conflict, HealthCheck, Shutdown, shutdown_signal};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a server that was registered has ended, if not well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no address to register.
    #[error("nothing was served")]
    Advertise(#[from] AdvertiseError),
    /// The registration could not be made, has ended in a conflict, or could not be confirmed to be revoked.
    #[error("the registration")]
    Registration(#[source] Error),
    /// The server's own error.
    #[error("the server")]
    Server(#[source] BoxError),
    /// The server had not finished when the deadline came, and was dropped.
    #[error("requests were still under way at the deadline and were dropped")]
    Unfinished,
}

/// A server that is to be; awaiting it serves. See [`Registry::serve`].
#[must_use = "nothing is served until it is awaited"]
pub struct Serve<L, F> {
    register: Register,
    registry: Registry,
    instance: Instance,
    listener: L,
    server: F,
    endpoint: (String, String),
    advertise: Advertise,
    shutdown: Shutdown,
    until: Option<Until>,
}

impl Registry {
    /// Serves on a listener that is bound, and registers where it listens for as long as that lasts.
    ///
    /// `server` is given the listener and what tells it to stop. These are the steps:
    /// 1. The address to advertise is found; `0.0.0.0` and port 0 are never registered.
    /// 2. The server begins, so that health checks find it, and the instance is registered with the endpoint.
    /// 3. At SIGTERM or SIGINT (or what [`Serve::until`] says) it is shown as [`crate::Status::Draining`], and goes on
    ///    serving for the drain time: clients turn to others.
    /// 4. The server is told to stop: it accepts nothing more and finishes what it has.
    /// 5. The lease is revoked.
    ///
    /// All of 3 to 5 is done by the deadline of [`Serve::shutdown`], 10 s unless given: a registry that is away takes a
    /// quarter of it at most, and the last part is kept for the revoke. When the server ends by itself the lease is
    /// revoked at once; when another process takes the id, the server is told to stop.
    ///
    /// Dropping the future drops the server and revokes the lease.
    ///
    /// # Errors
    /// See [`ServeError`]; what the server itself failed with is in it.
    ///
    /// ```no_run
    /// # async fn main_task(registry: registry_client::Registry) -> Result<(), Box<dyn std::error::Error>> {
    /// use registry_client::Instance;
    ///
    /// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    /// let instance = Instance::builder("pay").build()?;
    /// registry
    ///     .serve(instance, listener, |listener, stop| async move {
    ///         // With axum: axum::serve(listener, router).with_graceful_shutdown(stop.stopped()).await
    ///         while let Some(accepted) = tokio::select! {
    ///             accepted = listener.accept() => Some(accepted),
    ///             () = stop.stopped() => None,
    ///         } {
    ///             let (_connection, _) = accepted?;
    ///         }
    ///         Ok::<(), std::io::Error>(())
    ///     })
    ///     .endpoint("http", "http")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<L, F, S, E>(&self, instance: Instance, listener: L, server: F) -> Serve<L, F>
    where
        L: Bound,
        F: FnOnce(L, Stop) -> S,
        S: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        Serve {
            register: self.register(instance.clone()),
            registry: self.clone(),
            instance,
            listener,
            server,
            endpoint: ("http".to_owned(), "http".to_owned()),
            advertise: Advertise::default(),
            shutdown: Shutdown::new(),
            until: None,
        }
    }
}

impl<L, F> Serve<L, F> {
    /// The name of the endpoint and its scheme; both `http` unless given.
    pub fn endpoint(mut self, name: impl Into<String>, scheme: impl Into<String>) -> Self {
        self.endpoint = (name.into(), scheme.into());
        self
    }

    /// How the address to register is found; [`Advertise::auto`] unless given.
    pub fn advertise(mut self, advertise: Advertise) -> Self {
        self.advertise = advertise;
        self
    }

    /// As [`Register::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.register = self.register.ttl(ttl);
        self
    }

    /// As [`Register::on_conflict`].
    pub fn on_conflict(mut self, conflict: Conflict) -> Self {
        self.register = self.register.on_conflict(conflict);
        self
    }

    /// As [`Register::health`]. The server runs already when it is asked for the first time.
    pub fn health(mut self, check: HealthCheck) -> Self {
        self.register = self.register.health(check);
        self
    }

    /// How long it drains, and how long all of the end may take. The deadline should be shorter than what kills the
    /// process: 30 s in Kubernetes unless said otherwise.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// When to end; at SIGTERM or SIGINT unless given, which then no longer end the process by themselves.
    pub fn until(mut self, until: impl Future<Output = ()> + Send + 'static) -> Self {
        self.until = Some(Box::pin(until));
        self
    }
}

impl<L, F, S, E> IntoFuture for Serve<L, F>
where
    L: Bound + Send + 'static,
    F: FnOnce(L, Stop) -> S + Send + 'static,
    S: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    type Output = Result<(), ServeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        // From here on the signals are caught, also while it registers.
        let until = self.until.unwrap_or_else(|| Box::pin(shutdown_signal()));
        Box::pin(async move {
            let bound = self.listener.bound_to().map_err(AdvertiseError::Listener)?;
            let (name, scheme) = self.endpoint;
            let endpoint = self.advertise.endpoint_of(&self.registry, bound, &scheme).await?;
            let mut instance = self.instance;
            instance.set_endpoint(name, endpoint);
            let stop = Stop::default();
            let serving = (self.server)(self.listener, stop.clone());
            let serving = Box::pin(async { serving.await.map_err(|error| ServeError::Server(error.into())) });
            order::run(self.register.with_instance(instance), serving, stop, until, self.shutdown).await
        })
    }
}

impl<L, F> fmt::Debug for Serve<L, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Serve");
        debug.field("instance", &self.instance).field("advertise", &self.advertise).finish_non_exhaustive()
    }
}
