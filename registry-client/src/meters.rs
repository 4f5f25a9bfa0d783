//! What the SDK measures of itself, told to the `metrics` facade; without the feature of that name it measures nothing.
//!
//! The rooms say what happened, in their own words; names, labels and units stand here, and in the crate's documentation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::facade::{add, count, record, set};
use crate::error::Error;
use crate::registration::LeaseState;
use crate::watch::{Freshness, Snapshot};

const REGISTRATIONS: &str = "registry_client_registrations";
const REREGISTRATIONS: &str = "registry_client_reregistrations_total";
const KEEPALIVES_SENT: &str = "registry_client_keepalives_sent_total";
const KEEPALIVES_FAILED: &str = "registry_client_keepalives_failed_total";
const KEEPALIVE_SECONDS: &str = "registry_client_keepalive_seconds";
const CONNECTIONS: &str = "registry_client_connections_total";
const CONNECTION_FAILURES: &str = "registry_client_connection_failures_total";
const LOGINS: &str = "registry_client_logins_total";
const WATCH_STREAMS_LOST: &str = "registry_client_watch_streams_lost_total";
const WATCH_RESYNCS: &str = "registry_client_watch_resyncs_total";
const INSTANCES: &str = "registry_client_instances";
const UNDECODABLE: &str = "registry_client_undecodable_records";
const STALE_SINCE: &str = "registry_client_stale_since_seconds";

/// Tells the recorder what there is; a recorder that is installed later is told when the next client is built.
pub(crate) fn describe() {
    facade::describe();
}

/// A registration in the gauge of its state, as long as it lives.
#[derive(Debug)]
pub(crate) struct StateMeter(&'static str);

/// The state of what has ended, or not begun, which no gauge counts.
const CLOSED: &str = "closed";

impl Default for StateMeter {
    fn default() -> Self {
        Self(CLOSED)
    }
}

impl StateMeter {
    /// Says the state's name if it is another than before.
    pub(crate) fn show(&mut self, state: &LeaseState) -> Option<&'static str> {
        let before = std::mem::replace(&mut self.0, name_of(state));
        if self.0 == before {
            return None;
        }
        if matches!(state, LeaseState::Reregistering(_)) {
            count(REREGISTRATIONS, None, 1);
        }
        for (name, by) in [(before, -1.0), (self.0, 1.0)] {
            if name != CLOSED {
                add(REGISTRATIONS, ("state", name), by);
            }
        }
        Some(self.0)
    }
}

impl Drop for StateMeter {
    fn drop(&mut self) {
        let _ended = self.show(&LeaseState::Closed(None));
    }
}

fn name_of(state: &LeaseState) -> &'static str {
    match state {
        LeaseState::Registering(_) => "registering",
        LeaseState::Active => "active",
        LeaseState::Suspect(_) => "suspect",
        LeaseState::Lost(_) => "lost",
        LeaseState::Reregistering(_) => "reregistering",
        LeaseState::Draining => "draining",
        LeaseState::Closed(_) => CLOSED,
    }
}

pub(crate) fn keep_alive_sent() {
    count(KEEPALIVES_SENT, None, 1);
}

/// Answered after this time, with the TTL that is left.
pub(crate) fn keep_alive_answered(after: Option<Duration>, ttl: i64) {
    after.inspect(|after| record(KEEPALIVE_SECONDS, *after));
    if ttl <= 0 {
        count(KEEPALIVES_FAILED, Some(("reason", "lease_gone")), 1);
    }
}

/// The stream was lost with so many that had no answer.
pub(crate) fn keep_alives_lost(unanswered: usize) {
    count(KEEPALIVES_FAILED, Some(("reason", "stream_lost")), unanswered as u64);
}

pub(crate) fn connected(endpoint: &str) {
    count(CONNECTIONS, Some(("endpoint", endpoint)), 1);
}

pub(crate) fn not_connected(endpoint: &str) {
    count(CONNECTION_FAILURES, Some(("endpoint", endpoint)), 1);
}

/// How asking for a token went; there is none while the registry knows no users.
pub(crate) fn logged_in<T>(answer: &Result<Option<T>, Error>) {
    let outcome = match answer {
        Ok(Some(_)) => "token",
        Ok(None) => "not_needed",
        Err(error) if error.is_permanent() => "refused",
        Err(_) => "failed",
    };
    count(LOGINS, Some(("outcome", outcome)), 1);
}

pub(crate) fn watch_stream_lost() {
    count(WATCH_STREAMS_LOST, None, 1);
}

/// What is known of one service, in gauges that are 0 again when the watch has gone.
#[derive(Debug)]
pub(crate) struct WatchMeter(Arc<str>);

impl WatchMeter {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self(service)
    }

    /// History has a gap: everything is listed again.
    pub(crate) fn resync(&self) {
        count(WATCH_RESYNCS, Some(("service", &self.0)), 1);
    }

    pub(crate) fn published(&self, snapshot: &Snapshot) {
        let since = match snapshot.freshness() {
            Freshness::Stale { since } => since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        self.set(snapshot.instances().len() as f64, snapshot.undecodable() as f64, since.as_secs_f64());
    }

    fn set(&self, instances: f64, undecodable: f64, stale_since: f64) {
        let label = ("service", &*self.0);
        set(INSTANCES, label, instances);
        set(UNDECODABLE, label, undecodable);
        set(STALE_SINCE, label, stale_since);
    }
}

impl Drop for WatchMeter {
    fn drop(&mut self) {
        self.set(0.0, 0.0, 0.0);
    }
}

#[cfg(feature = "metrics")]
mod facade {
    use std::time::Duration;

    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

    pub(super) fn count(name: &'static str, label: Option<(&'static str, &str)>, by: u64) {
        match label {
            Some((key, value)) => counter!(name, key => value.to_owned()).increment(by),
            None => counter!(name).increment(by),
        }
    }

    pub(super) fn add(name: &'static str, (key, value): (&'static str, &str), by: f64) {
        gauge!(name, key => value.to_owned()).increment(by);
    }

    pub(super) fn set(name: &'static str, (key, value): (&'static str, &str), to: f64) {
        gauge!(name, key => value.to_owned()).set(to);
    }

    pub(super) fn record(name: &'static str, time: Duration) {
        histogram!(name).record(time.as_secs_f64());
    }

    pub(super) fn describe() {
        describe_gauge!(super::REGISTRATIONS, "Registrations of this process, by state");
        describe_counter!(
            super::REREGISTRATIONS,
            "How often a registration had lost its lease or key and was made anew"
        );
        describe_counter!(super::KEEPALIVES_SENT, "Keep-alives that were sent");
        describe_counter!(super::KEEPALIVES_FAILED, "Keep-alives that found no lease, or were never answered");
        describe_histogram!(super::KEEPALIVE_SECONDS, Unit::Seconds, "From a keep-alive to its answer");
        describe_counter!(super::CONNECTIONS, "Connections that were opened, by endpoint of the registry");
        describe_counter!(
            super::CONNECTION_FAILURES,
            "Connections that could not be opened, by endpoint of the registry"
        );
        describe_counter!(super::LOGINS, "How asking for a token went");
        describe_counter!(super::WATCH_STREAMS_LOST, "Watch streams that broke or ended");
        describe_counter!(super::WATCH_RESYNCS, "How often a service was listed again because history had a gap");
        describe_gauge!(super::INSTANCES, "Known instances, by watched service");
        describe_gauge!(super::UNDECODABLE, "Records that could not be read, by watched service");
        describe_gauge!(
            super::STALE_SINCE,
            Unit::Seconds,
            "Unix time since when what is known may be old, by watched service; 0 while it is current"
        );
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use std::time::Duration;

    pub(super) fn count(_: &'static str, _: Option<(&'static str, &str)>, _: u64) {}

    pub(super) fn add(_: &'static str, _: (&'static str, &str), _: f64) {}

    pub(super) fn set(_: &'static str, _: (&'static str, &str), _: f64) {}

    pub(super) fn record(_: &'static str, _: Duration) {}

    pub(super) fn describe() {}
}
