//! How much the hub and its streams have to do.

use crate::types::{Counter, Gauge};

/// The counts of one hub.
#[derive(Debug, Default)]
pub struct Counts {
    /// Open streams.
    pub streams: Gauge,
    /// Watchers, live or behind.
    pub watchers: Gauge,
    /// Watchers that are behind: fed from history.
    pub slow_watchers: Gauge,
    /// Events sent, once for each watcher that got them.
    pub events: Counter,
}
