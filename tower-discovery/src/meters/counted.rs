//! The series, with the feature `metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, Histogram, Label, Unit};
use parking_lot::Mutex;
use registry_client::Discovered;
use tokio::time::Instant;

use super::Outcome;
use crate::balance::Standing;

/// So many endpoints have series of their own at the same time.
pub(super) const MOST_LABELLED: usize = 1_000;
const OTHER: &str = "other";

/// How many have them now, in this process.
static LABELLED: AtomicUsize = AtomicUsize::new(0);

/// The series of one endpoint. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct EndpointMeters(Arc<Series>);

#[derive(Debug)]
struct Series {
    has_label: bool,
    answered: Counter,
    failed: Counter,
    unsent: Counter,
    cancelled: Counter,
    connected: Counter,
    refused: Counter,
    ejections: Counter,
    latency: Histogram,
    pending: Gauge,
}

/// One request, until it is dropped at the end of its answer.
#[derive(Debug)]
pub(crate) struct Metered {
    series: Arc<Series>,
    outcome: Outcome,
    since: Instant,
}

/// The series of one channel; those of the same service add up.
#[derive(Debug)]
pub(crate) struct ChannelMeters {
    known: Gauge,
    connected: Gauge,
    ejected: Gauge,
    told: Mutex<Told>,
}

/// What the gauges of a channel have of it.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    standing: Standing,
    ejected: usize,
}

impl EndpointMeters {
    pub(crate) fn of(instance: &Discovered) -> Self {
        let has_label = LABELLED.fetch_add(1, Ordering::Relaxed) < MOST_LABELLED;
        if !has_label {
            LABELLED.fetch_sub(1, Ordering::Relaxed);
        }
        let id = if has_label { instance.id() } else { OTHER };
        let labels = vec![Label::new("service", instance.service().to_owned()), Label::new("instance", id.to_owned())];
        let with =
            |outcome: &'static str| labels.iter().cloned().chain([Label::new("outcome", outcome)]).collect::<Vec<_>>();
        let requests = |outcome| metrics::counter!("tower_discovery_requests_total", with(outcome));
        let connects = |outcome| metrics::counter!("tower_discovery_connects_total", with(outcome));
        Self(Arc::new(Series {
            has_label,
            answered: requests("answered"),
            failed: requests("failed"),
            unsent: requests("unsent"),
            cancelled: requests("cancelled"),
            connected: connects("connected"),
            refused: connects("failed"),
            ejections: metrics::counter!("tower_discovery_ejections_total", labels.clone()),
            latency: metrics::histogram!("tower_discovery_request_seconds", labels.clone()),
            pending: metrics::gauge!("tower_discovery_pending_requests", labels),
        }))
    }

    /// Counts an attempt to connect.
    pub(crate) fn tried_to_connect(&self, is_connected: bool) {
        if is_connected { &self.0.connected } else { &self.0.refused }.increment(1);
    }

    /// Counts an ejection.
    pub(crate) fn ejected(&self) {
        self.0.ejections.increment(1);
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        if self.has_label {
            LABELLED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Metered {
    pub(crate) fn start(meters: &EndpointMeters) -> Self {
        meters.0.pending.increment(1);
        Self { series: Arc::clone(&meters.0), outcome: Outcome::Cancelled, since: Instant::now() }
    }

    /// What is counted, unless something else is said before the end.
    pub(crate) fn set(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let series = &self.series;
        let counter = match self.outcome {
            Outcome::Answered => &series.answered,
            Outcome::Failed => &series.failed,
            Outcome::Unsent => &series.unsent,
            Outcome::Cancelled => &series.cancelled,
        };
        counter.increment(1);
        series.pending.decrement(1);
        if self.outcome != Outcome::Unsent {
            series.latency.record(self.since.elapsed());
        }
    }
}

impl ChannelMeters {
    pub(crate) fn of(service: &str) -> Self {
        describe();
        let gauge = |state: &'static str| metrics::gauge!("tower_discovery_endpoints", "service" => service.to_owned(), "state" => state);
        Self { known: gauge("known"), connected: gauge("connected"), ejected: gauge("ejected"), told: Mutex::default() }
    }

    /// How the channel stands now, and how many of its endpoints are ejected.
    pub(crate) fn tell(&self, standing: Standing, ejected: usize) {
        let now = Told { standing, ejected };
        let before = std::mem::replace(&mut *self.told.lock(), now);
        let known = |told: Told| told.standing.known.unwrap_or_default() as f64;
        self.known.increment(known(now) - known(before));
        self.connected.increment(now.standing.connected as f64 - before.standing.connected as f64);
        self.ejected.increment(now.ejected as f64 - before.ejected as f64);
    }
}

impl Drop for ChannelMeters {
    fn drop(&mut self) {
        self.tell(Standing::default(), 0);
    }
}

fn describe() {
    for (name, text) in [
        ("tower_discovery_requests_total", "requests that were given to an endpoint, by what became of them"),
        ("tower_discovery_connects_total", "attempts to connect to an endpoint"),
        ("tower_discovery_ejections_total", "how often an endpoint was ejected as an outlier"),
    ] {
        metrics::describe_counter!(name, Unit::Count, text);
    }
    metrics::describe_histogram!(
        "tower_discovery_request_seconds",
        Unit::Seconds,
        "from giving a request to an endpoint to the end of the answer"
    );
    metrics::describe_gauge!("tower_discovery_pending_requests", Unit::Count, "requests whose answer has not ended");
    metrics::describe_gauge!("tower_discovery_endpoints", Unit::Count, "endpoints of the channels of a service");
}
