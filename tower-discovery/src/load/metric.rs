//! What an endpoint's load is measured by.

use std::time::Duration;

/// How the load of endpoints is measured; the default is [`LoadMetric::peak_ewma`].
///
/// Both count requests until the end of their answer's body, both let weights divide the count, and in both a
/// failure weighs as much as eight pending requests and fades within seconds (see the
/// [guide](crate::guide::balancing)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct LoadMetric(pub(super) Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    PeakEwma { decay: Duration },
    PendingRequests,
}

impl LoadMetric {
    /// Pending requests times the time that the endpoint takes to begin an answer.
    ///
    /// That time is an average in which older answers fade ([`decay`](Self::decay), 10 s), except that a slower
    /// answer counts in full at once: the average follows peaks up and comes down slowly. The time of an endpoint
    /// that is not used fades towards 0 as well, so that it is tried again, except while it owes an answer. Differences of less than a quarter are taken
    /// for noise.
    ///
    /// There is no default for an endpoint that has not answered yet: it counts as fast as the one that it
    /// is compared with, whatever is usual for the service, and its first answer counts in full. That does no
    /// harm, as it gets one request at a time until then, while there are others that have answered.
    pub const fn peak_ewma() -> Self {
        Self(Kind::PeakEwma { decay: Duration::from_secs(10) })
    }

    /// The number of pending requests alone.
    pub const fn pending_requests() -> Self {
        Self(Kind::PendingRequests)
    }

    /// The time in which what was measured fades to 37%; at least 1 ms. Without effect on other metrics than
    /// [`peak_ewma`](Self::peak_ewma).
    pub fn decay(mut self, time: Duration) -> Self {
        if let Kind::PeakEwma { decay } = &mut self.0 {
            *decay = time.max(Duration::from_millis(1));
        }
        self
    }
}

impl Default for LoadMetric {
    fn default() -> Self {
        Self::peak_ewma()
    }
}
