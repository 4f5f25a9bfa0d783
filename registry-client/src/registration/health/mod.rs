//! Health checks: an instance is shown as up only while a probe says so.
//!
//! `gate` turns answers into a status, and is pure; `monitor` asks again and again, on the SDK's thread, and gives up
//! on a probe that is late; `network` has the probes that come with the SDK, `security` their TLS. A user's callback never runs on the SDK's
//! thread: it is spawned on the runtime that registered, so that a callback which blocks starves no keep-alive, and
//! a runtime that is blocked or gone is found to be unhealthy.

mod gate;
mod monitor;
mod network;
mod security;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gate::Thresholds;
pub(super) use monitor::monitor;
use network::Network;
use security::Security;
use tokio::runtime::Handle;

#[cfg(all(feature = "health", feature = "tls"))]
use crate::channel::TlsConfig;
use crate::error::Error;
use crate::instance::{Endpoint, EndpointError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Decides whether an instance that wants traffic is shown as up.
///
/// An instance whose own status is [`crate::Status::Up`] is shown as `Starting` until the check has passed, then as `Up`,
/// as `Down` when it fails, and as `Up` again; all under the same lease. Any other status of its own, and draining,
/// is shown as it is. The registration does not wait for it: see [`crate::Registration::healthy`].
///
/// ```
/// use std::time::Duration;
///
/// use registry_client::HealthCheck;
///
/// let check = HealthCheck::callback(|| async {
///     // Ask a database, a queue, a flag ...
///     Ok::<(), std::io::Error>(())
/// });
/// let check = check.interval(Duration::from_secs(2)).timeout(Duration::from_secs(1)).thresholds(2, 3);
/// let connects = HealthCheck::tcp("http://127.0.0.1:9000")?;
/// # let _ = (check, connects);
/// # Ok::<(), registry_client::EndpointError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is checked until it is given to a registration"]
pub struct HealthCheck {
    probe: Probe,
    interval: Duration,
    timeout: Duration,
    thresholds: Thresholds,
    security: Security,
}

#[derive(Clone)]
enum Probe {
    Callback(Arc<dyn Fn() -> Answer + Send + Sync>),
    Network(Network),
}

impl HealthCheck {
    fn new(probe: Probe) -> Self {
        let thresholds = Thresholds { healthy: 1, unhealthy: 3 };
        Self {
            probe,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            thresholds,
            security: Security::default(),
        }
    }

    /// Healthy if the future of the callback ends without an error.
    ///
    /// It is spawned on the tokio runtime on which the registration is awaited, one at a time. A panic, a timeout and
    /// a runtime that is gone are failures; one that has not ended after the timeout is aborted.
    pub fn callback<F, C, E>(probe: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let probe = Arc::new(probe);
        Self::new(Probe::Callback(Arc::new(move || {
            let probe = Arc::clone(&probe);
            Box::pin(async move { probe().await.map_err(Into::into) })
        })))
    }

    /// Healthy if a TCP connection can be made.
    ///
    /// # Errors
    /// When the address cannot be dialled.
    pub fn tcp<T>(endpoint: T) -> Result<Self, EndpointError>
    where
        T: TryInto<Endpoint>,
        EndpointError: From<T::Error>,
    {
        Ok(Self::new(Probe::Network(Network::Tcp(endpoint.try_into()?))))
    }

    /// Healthy if a GET of that path is answered with a status of 2xx. It is asked by HTTP/1.1; at an `https` address over
    /// TLS, for which `HealthCheck::tls` says whom to trust.
    ///
    /// # Errors
    /// When the address cannot be dialled, is neither `http` nor `https`, or the path is none.
    #[cfg(feature = "health")]
    pub fn http<T>(endpoint: T, path: &str) -> Result<Self, EndpointError>
    where
        T: TryInto<Endpoint>,
        EndpointError: From<T::Error>,
    {
        Ok(Self::new(Probe::Network(Network::http(endpoint.try_into()?, path)?)))
    }

    /// Healthy if the service of that name is `SERVING`, by `grpc.health.v1`; the empty name is the whole server. At an
    /// `https` address it is asked over TLS, for which `HealthCheck::tls` says whom to trust.
    ///
    /// # Errors
    /// When the address cannot be dialled, or is neither `http` nor `https`.
    #[cfg(feature = "health")]
    pub fn grpc<T>(endpoint: T, service: impl Into<String>) -> Result<Self, EndpointError>
    where
        T: TryInto<Endpoint>,
        EndpointError: From<T::Error>,
    {
        Ok(Self::new(Probe::Network(Network::grpc(endpoint.try_into()?, service.into())?)))
    }

    /// Whom to trust at an `https` address, and who to be to it; needed there, and refused anywhere else when the registration is
    /// awaited. Files are read anew for each probe. The feature `tls`.
    ///
    /// A certificate mostly has the name under which others reach the service, and not that of loopback:
    ///
    /// ```
    /// use registry_client::{HealthCheck, TlsConfig};
    ///
    /// let tls = TlsConfig::new().ca_file("/etc/pay/ca.pem").server_name("pay.internal");
    /// let check = HealthCheck::http("https://127.0.0.1:9000", "/healthz")?.tls(tls);
    /// # let _ = check;
    /// # Ok::<(), registry_client::EndpointError>(())
    /// ```
    #[cfg(feature = "health")]
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.security.tls = Some(tls);
        self
    }

    /// From the beginning of one probe to that of the next, 5 s unless given; at most 1 s until it passes for the
    /// first time.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a probe may take, 2 s unless given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many probes in a row must pass before it is up, and fail before it is down; 1 and 3 unless given.
    pub fn thresholds(mut self, healthy: u32, unhealthy: u32) -> Self {
        self.thresholds = Thresholds { healthy, unhealthy };
        self
    }

    /// What the SDK's thread needs, if the settings make sense; called where the registration is awaited.
    pub(crate) fn checked(self) -> Result<PlacedCheck, Error> {
        if self.interval.is_zero() || self.timeout.is_zero() {
            return Err(Error::Setting("a health check needs an interval and a timeout above 0".to_owned()));
        }
        if self.thresholds.healthy == 0 || self.thresholds.unhealthy == 0 {
            return Err(Error::Setting("a health check needs thresholds of at least 1".to_owned()));
        }
        self.security.check(self.probe.web())?;
        let place = match (&self.probe, Handle::try_current()) {
            (Probe::Network(_), _) => None,
            (Probe::Callback(_), Ok(handle)) => Some(handle),
            (Probe::Callback(_), Err(_)) => {
                let text = "a callback that checks health needs a tokio runtime: await the registration on one";
                return Err(Error::Setting(text.to_owned()));
            }
        };
        Ok(PlacedCheck { check: self, place })
    }
}

/// A check that knows where its callback runs.
#[derive(Debug)]
pub(crate) struct PlacedCheck {
    check: HealthCheck,
    place: Option<Handle>,
}

impl Probe {
    /// Where it is asked by HTTP or gRPC.
    fn web(&self) -> Option<&Endpoint> {
        match self {
            Self::Callback(_) => None,
            Self::Network(network) => network.web(),
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callback(_) => formatter.write_str("Callback"),
            Self::Network(network) => network.fmt(formatter),
        }
    }
}
