//! What the balancer counts, as a recorder sees it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_discovery::{Balance, BoxError, DiscoveryLayer, GrpcConnect};
use tower_layer::Layer;

use crate::kit::{Answer, Behaviour, Connection, Fleet, ask, connected, eventually, instance, pay};
use crate::sharing::{ask_for, put_all, strict};

/// What was recorded. A snapshot sets all that it reads to 0, so it is added up here; all gauges are moved by steps.
struct Readings {
    snapshotter: Snapshotter,
    so_far: BTreeMap<String, f64>,
}

impl Readings {
    fn of(recorder: &DebuggingRecorder) -> Self {
        Self { snapshotter: recorder.snapshotter(), so_far: BTreeMap::new() }
    }

    /// The values by `name{label=value,...}`; a histogram's is how often it was recorded.
    fn now(&mut self) -> &BTreeMap<String, f64> {
        for (key, _unit, _text, value) in self.snapshotter.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let step = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(recorded) => recorded.len() as f64,
            };
            *self.so_far.entry(format!("{}{{{}}}", key.key().name(), labels.join(","))).or_default() += step;
        }
        &self.so_far
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_endpoint_and_outcome_and_gauges_end_at_zero() {
    let recorder = DebuggingRecorder::new();
    let mut readings = Readings::of(&recorder);
    let _recording = metrics::set_default_local_recorder(&recorder);
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet.clone());
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
    let now = readings.now();
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
        let mut gauges =
            readings.now().iter().filter(|(name, _)| name.contains("pending") || name.contains("endpoints"));
        gauges.all(|(_, value)| *value == 0.0)
    })
    .await;
}

/// An HTTP/2 server that answers at once and sends back what it is sent.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer =
                service_fn(|request: Request<Incoming>| async { Answer::Ok(Response::new(request.into_body())) });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer));
        }
    });
    port
}

#[tokio::test]
async fn a_request_body_that_fails_after_the_answer_began_is_not_counted_against_the_endpoint() {
    let recorder = DebuggingRecorder::new();
    let mut readings = Readings::of(&recorder);
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (view, mut publisher) = pay();
    publisher.put(instance("a", echo().await));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["a"]).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    sender.send(Ok(Frame::data(Bytes::from_static(b"ping")))).await.unwrap();
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let answer = channel.oneshot(Request::post("/pay.Pay/Chat").body(body).unwrap()).await.unwrap();
    let mut answer = answer.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "ping");
    sender.send(Err("the caller's own".into())).await.unwrap();
    answer.frame().await.unwrap().unwrap_err();
    drop(answer);
    let now = readings.now();
    let counted =
        |outcome: &str| now[&format!("tower_discovery_requests_total{{service=pay,instance=a,outcome={outcome}}}")];
    assert_eq!([counted("cancelled"), counted("failed")], [1.0, 0.0], "{now:?}");
}

/// Asks until one is ejected: chance decides how often the bad one is asked. On paused time.
async fn ejected_again(channel: &Balance<Connection>, readings: &mut Readings, ejected: &str) -> BTreeMap<String, f64> {
    for _ in 0..60 {
        ask_for(channel, 1).await;
        let now = readings.now();
        if now[ejected] > 0.0 {
            return now.clone();
        }
    }
    panic!("nobody is ejected: {:?}", readings.now());
}

#[tokio::test(start_paused = true)]
async fn ejections_are_counted_by_endpoint_and_who_is_ejected_now_by_service() {
    let recorder = DebuggingRecorder::new();
    let mut readings = Readings::of(&recorder);
    let _recording = metrics::set_default_local_recorder(&recorder);
    let fleet = Fleet::default();
    fleet.set("bad", Behaviour::Fail);
    let (view, mut publisher) = pay();
    put_all(&mut publisher, &["bad", "b", "c"]);
    let channel = DiscoveryLayer::new(view).served_by(true).outlier_ejection(strict()).layer(fleet.clone());
    connected(&channel, &["b", "bad", "c"]).await;
    let ejected = "tower_discovery_endpoints{service=pay,state=ejected}";
    let of = |id: &str| format!("tower_discovery_ejections_total{{service=pay,instance={id}}}");

    let now = ejected_again(&channel, &mut readings, ejected).await;
    assert_eq!([now[ejected], now[&of("bad")], now[&of("b")]], [1.0, 1.0, 0.0], "{now:?}");
    assert_eq!(now["tower_discovery_endpoints{service=pay,state=connected}"], 3.0, "it is connected all the time");

    fleet.set("bad", Behaviour::Serve);
    ask_for(&channel, 35).await;
    let now = readings.now();
    assert_eq!([now[ejected], now[&of("bad")]], [0.0, 1.0], "it is back: {now:?}");

    fleet.set("bad", Behaviour::Fail);
    let now = ejected_again(&channel, &mut readings, ejected).await;
    assert_eq!([now[ejected], now[&of("bad")]], [1.0, 2.0], "{now:?}");
    publisher.remove("bad");
    connected(&channel, &["b", "c"]).await;
    assert_eq!(readings.now()[ejected], 0.0, "who is gone is not ejected");
}
