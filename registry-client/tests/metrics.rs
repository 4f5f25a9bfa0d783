//! What the SDK measures of itself, as a recorder of the `metrics` facade is told it.
//!
//! In a process of its own, as a recorder is the process's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, unused_imports, reason = "other suites use the rest")]
#[path = "kit/mod.rs"]
mod kit;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::{Calls, PASSWORD, eventually, instance, own_server_with, soon};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use registry_client::Registry;

/// A figure's newest value; of a histogram, how many were recorded.
#[derive(Default)]
struct Figure(AtomicU64);

impl Figure {
    fn change(&self, change: impl Fn(f64) -> f64) {
        let bits = |old| Some(change(f64::from_bits(old)).to_bits());
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, bits).unwrap();
    }
}

impl CounterFn for Figure {
    fn increment(&self, value: u64) {
        self.change(|old| old + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for Figure {
    fn increment(&self, value: f64) {
        self.change(|old| old + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|old| old - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for Figure {
    fn record(&self, value: f64) {
        assert!(value < 10.0, "seconds, not {value}");
        self.change(|old| old + 1.0);
    }
}

/// By name and labels, as in `name{key=value}`.
#[derive(Clone, Default)]
struct Figures {
    values: Arc<Mutex<BTreeMap<String, Arc<Figure>>>>,
    described: Arc<Mutex<Vec<String>>>,
}

impl Figures {
    fn of(&self, key: &Key) -> Arc<Figure> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.values.lock().unwrap().entry(name).or_default())
    }

    fn get(&self, name: &str) -> f64 {
        let values = self.values.lock().unwrap();
        values
            .get(&format!("registry_client_{name}"))
            .map_or(0.0, |figure| f64::from_bits(figure.0.load(Ordering::SeqCst)))
    }

    async fn comes_to(&self, name: &str, value: impl Fn(f64) -> bool) {
        eventually(name, || async { value(self.get(name)) }).await;
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(name, unit, text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(name, unit, text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

#[tokio::test]
async fn every_figure_of_the_documentation_is_measured() {
    let figures = Figures::default();
    metrics::set_global_recorder(figures.clone()).ok().unwrap();
    let Some(server) = own_server_with(&["--bcrypt-cost=4"]) else { return };
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.add_users("/prod").await;
    calls.enable_auth().await;
    let connect = |password: &str| {
        Registry::builder([server.endpoint.clone()]).namespace("/prod").auth("pay", password).build().unwrap()
    };
    let registry = connect(PASSWORD);
    connect("wrong-horse").connect().await.unwrap_err();
    let registering = registry.register(instance("1")).ttl(Duration::from_secs(2)).into_future();
    let registration = soon("it registers", registering).await.unwrap();
    calls.put("/prod/services/pay/noise", "noise", 0).await;
    let watch = registry.watch("pay").start().unwrap();
    soon("it is watched", watch.synced()).await.unwrap();
    figures.comes_to("registrations{state=active}", |value| value == 1.0).await;
    figures.comes_to("instances{service=pay}", |value| value == 1.0).await;
    figures.comes_to("undecodable_records{service=pay}", |value| value == 1.0).await;
    figures.comes_to("keepalive_seconds{}", |value| value >= 1.0).await;
    assert!(figures.get("keepalives_sent_total{}") >= 1.0);
    assert_eq!((figures.get("logins_total{outcome=token}"), figures.get("logins_total{outcome=refused}")), (1.0, 1.0));
    assert_eq!(figures.get(&format!("connections_total{{endpoint={}}}", server.endpoint)), 2.0);

    let lease = calls.get("/prod/services/pay/1").await.unwrap().lease;
    calls.revoke(lease).await;
    figures.comes_to("reregistrations_total{}", |value| value >= 1.0).await;
    figures.comes_to("registrations{state=active}", |value| value == 1.0).await;

    let endpoint = server.endpoint.clone();
    let stopped = server.stop();
    figures.comes_to("stale_since_seconds{service=pay}", |value| value > 1e9).await;
    figures.comes_to(&format!("connection_failures_total{{endpoint={endpoint}}}"), |value| value >= 1.0).await;
    figures.comes_to("watch_streams_lost_total{}", |value| value >= 1.0).await;
    figures.comes_to("keepalives_failed_total{reason=stream_lost}", |value| value >= 1.0).await;
    // Another cluster, whose history does not go on from here.
    let server = stopped.start(false);
    figures.comes_to("watch_resyncs_total{service=pay}", |value| value >= 1.0).await;
    figures.comes_to("stale_since_seconds{service=pay}", |value| value == 0.0).await;
    drop((registration, watch));
    figures.comes_to("registrations{state=active}", |value| value == 0.0).await;
    figures.comes_to("instances{service=pay}", |value| value == 0.0).await;
    drop(server);
    documented(&figures);
}

/// The names that were described are those in the crate's documentation, and all were measured.
fn documented(figures: &Figures) {
    let mut described = figures.described.lock().unwrap().clone();
    described.sort();
    described.dedup();
    let documentation = include_str!("../src/lib.rs");
    for name in &described {
        assert!(documentation.contains(&format!("| `{name}` |")), "{name} is not documented");
        let measured = figures.values.lock().unwrap().keys().any(|key| key.starts_with(&format!("{name}{{")));
        assert!(measured, "{name} was not measured");
    }
    assert_eq!(described.len(), documentation.matches("| `registry_client_").count());
}
