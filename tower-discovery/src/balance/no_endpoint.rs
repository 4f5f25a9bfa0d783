//! How long a request waits for an endpoint while there is none.

use std::time::Duration;

use tokio::time::Instant;

/// Even a request that fails fast waits this long for the first attempts to connect to end.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// What a request does while no endpoint is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoEndpoint {
    /// It waits for one, and fails when this time has passed.
    WaitUpTo(Duration),
    /// It fails at once, except while the first list and the first attempts to connect are under way.
    FailFast,
}

impl Default for NoEndpoint {
    /// Waits up to 5 s.
    fn default() -> Self {
        Self::WaitUpTo(Duration::from_secs(5))
    }
}

/// How long a request waits for an endpoint in all.
pub(super) struct Patience {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl Patience {
    pub(super) fn new(on_no_endpoint: NoEndpoint, since: Instant) -> Self {
        let limit = match on_no_endpoint {
            NoEndpoint::WaitUpTo(limit) => limit,
            NoEndpoint::FailFast => SETTLE_LIMIT,
        };
        // A limit beyond the clock's range is a day, which no caller waits for.
        let until = since.checked_add(limit).unwrap_or(since + Duration::from_secs(86_400));
        Self { since, until }
    }
}
