//! What can go wrong on the way from a request to an answer, each naming the service and the endpoint.
//!
//! [`Error`] is what a caller sees; [`ConnectError`] is what a connector answers; [`Unsent`] is how a
//! connection gives a request back that it did not put on the wire. `grpc` turns an [`Error`] into a status.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::target::Target;

/// The error of another crate's service or body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No endpoint was connected, for as long as the request was willing to wait.
    #[error("{0}")]
    NoEndpoint(Arc<NoEndpointError>),
    /// The request's own deadline (`grpc-timeout`) has passed.
    #[error("the deadline of {limit:?} has passed {stage}", stage = Stage(.target.as_ref()))]
    DeadlineExceeded {
        /// What the caller allowed.
        limit: Duration,
        /// The endpoint that had the request by then; none while one was waited for.
        target: Option<Target>,
    },
    /// The connection failed, or the endpoint broke the request off.
    #[error("{target} failed: {reason}", reason = Chain(source.as_ref()))]
    Endpoint {
        /// The endpoint that had the request.
        target: Target,
        /// What the connection said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// What was known when a request found no endpoint.
#[derive(Debug)]
pub struct NoEndpointError {
    /// The service's name.
    pub service: Arc<str>,
    /// How long the request waited.
    pub waited: Duration,
    /// How many endpoints discovery knows; `None` before it has told anything.
    pub known: Option<usize>,
    /// How many of them are connected, but were of no use to this request.
    pub connected: usize,
    /// The last failure to connect to one of them.
    pub last: Option<Arc<ConnectError>>,
}

/// Why an endpoint could not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{target}: {reason}", reason = Chain(source.as_ref()))]
pub struct ConnectError {
    /// The endpoint.
    pub target: Target,
    /// What the connector said.
    pub source: BoxError,
}

/// Nothing that could serve was heard from the endpoint in time.
#[derive(Debug, thiserror::Error)]
#[error("not connected within {0:?}")]
pub struct ConnectTimeout(pub Duration);

/// A request that was not put on the wire, given back by the connection.
///
/// A connection that answers with this as its error lets the balancer send the request elsewhere.
#[derive(thiserror::Error)]
#[error("the request was not sent")]
pub struct Unsent<R> {
    /// The request, as it was given.
    pub request: R,
    /// Why it was not sent.
    pub source: BoxError,
}

impl<R> fmt::Debug for Unsent<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unsent").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The request wanted a connection beside those that are open, and none could be made. They serve on, so the endpoint
/// stays connected.
#[derive(Debug, thiserror::Error)]
#[error("no further connection could be opened: {0}")]
pub(crate) struct NoFurtherConnection(#[source] pub(crate) BoxError);

impl Error {
    pub(crate) fn endpoint(target: &Target, source: BoxError) -> Self {
        Self::Endpoint { target: target.clone(), source: source.into() }
    }

    /// The endpoint that had the request, if one had.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::NoEndpoint(_) => None,
            Self::DeadlineExceeded { target, .. } => target.as_ref(),
            Self::Endpoint { target, .. } => Some(target),
        }
    }
}

impl fmt::Display for NoEndpointError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no endpoint of service {:?} can take the request: ", self.service)?;
        match self.known {
            None => formatter.write_str("discovery has told nothing yet")?,
            Some(known) => write!(formatter, "{known} known, {} connected", self.connected)?,
        }
        if !self.waited.is_zero() {
            write!(formatter, ", after waiting {:?}", self.waited)?;
        }
        self.last.as_ref().map_or(Ok(()), |last| write!(formatter, "; last failure: {last}"))
    }
}

impl std::error::Error for NoEndpointError {}

/// An error and what caused it, in one line: statuses carry text, not sources.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl<'a> Chain<'a> {
    pub(crate) fn links(self) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
        std::iter::successors(Some(self.0), |error| error.source())
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = String::new();
        for (position, link) in Chain(self.0).links().enumerate() {
            let text = link.to_string();
            // Many errors print their source themselves.
            if position > 0 && !last.contains(&text) {
                write!(formatter, ": {text}")?;
            } else if position == 0 {
                formatter.write_str(&text)?;
            }
            last = text;
        }
        Ok(())
    }
}

/// Whether the caller's own body failed, for which the endpoint is not to blame.
pub(crate) fn is_the_callers(error: &(dyn std::error::Error + 'static)) -> bool {
    Chain(error).links().any(|link| {
        let is_user = link.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user);
        // That is what hyper does with the stream of a body that fails.
        let is_own_reset = |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
        is_user || link.downcast_ref::<h2::Error>().is_some_and(is_own_reset)
    })
}

struct Stage<'a>(Option<&'a Target>);

impl fmt::Display for Stage<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(target) => write!(formatter, "while {target} had the request"),
            None => formatter.write_str("while waiting for an endpoint"),
        }
    }
}
