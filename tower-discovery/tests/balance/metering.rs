//! What the balancer counts, as a recorder sees it.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower_discovery::DiscoveryLayer;
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, ask, connected, eventually, instance, pay};

/// The values by `name{label=value,...}`; a histogram's is how often it was recorded.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    let named = metrics.map(|(key, _unit, _text, value)| {
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(recorded) => recorded.len() as f64,
        };
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
    });
    named.collect()
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_endpoint_and_outcome_and_gauges_end_at_zero() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).layer(fleet.clone());
    connected(&channel, &["a"]).await;

    drop(ask(&channel).await.unwrap());
    for behaviour in [Behaviour::Fail, Behaviour::Break, Behaviour::GiveBack] {
        fleet.set("a", behaviour);
        drop(ask(&channel).await);
        connected(&channel, &["a"]).await;
    }
    fleet.set("a", Behaviour::Hold);
    let held = tokio::spawn({
        let channel = channel.clone();
        async move { ask(&channel).await.map(drop) }
    });
    let before = fleet.requests("a");
    eventually(|| fleet.requests("a") > before).await;
    let now = values(&snapshotter);
    assert_eq!(now["tower_discovery_pending_requests{service=pay,instance=a}"], 1.0);
    assert_eq!(now["tower_discovery_endpoints{service=pay,state=connected}"], 1.0);
    held.abort();
    drop(held.await);

    let counted =
        |outcome: &str| now[&format!("tower_discovery_requests_total{{service=pay,instance=a,outcome={outcome}}}")];
    assert_eq!([counted("answered"), counted("failed"), counted("cancelled")], [1.0, 2.0, 0.0], "{now:?}");
    assert!(counted("unsent") >= 1.0);
    assert_eq!(now["tower_discovery_request_seconds{service=pay,instance=a}"], 3.0);
    assert!(now["tower_discovery_connects_total{service=pay,instance=a,outcome=connected}"] >= 2.0, "{now:?}");

    let ended = channel.ended();
    drop((channel, publisher));
    ended.await;
    eventually(|| {
        let now = values(&snapshotter);
        now.iter()
            .filter(|(name, _)| name.contains("pending") || name.contains("endpoints"))
            .all(|(_, value)| *value == 0.0)
    })
    .await;
}
