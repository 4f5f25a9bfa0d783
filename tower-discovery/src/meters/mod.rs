//! What the balancer counts for each endpoint, for whatever recorder the program installs. Feature `metrics`; without it
//! nothing is counted and all of this is empty.
//!
//! An endpoint has its own series while it is one of the first thousand of the process; any beyond share the series
//! of `other`. The facade cannot take a series away: when an endpoint goes, its gauge is back at 0 and nothing touches
//! its series any more, so that an exporter with an idle timeout drops them. The names stand in the guide to metrics.

#[cfg(feature = "metrics")]
mod counted;
#[cfg(not(feature = "metrics"))]
mod nothing;

#[cfg(feature = "metrics")]
pub(crate) use counted::{ChannelMeters, EndpointMeters, Metered};
#[cfg(not(feature = "metrics"))]
pub(crate) use nothing::{ChannelMeters, EndpointMeters, Metered};

/// What became of a request at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The endpoint has answered.
    Answered,
    /// The endpoint is to blame: it broke off, was too late, or answered with an error of its own.
    Failed,
    /// It did not get the request, or did nothing with it.
    Unsent,
    /// The caller gave up.
    Cancelled,
}
