//! The gRPC channel under a generated client, against servers on loopback.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry_client::Publisher;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service, ServiceExt};
use tower_discovery::{
    BoxError, DiscoveryLayer, Error, GrpcChannel, GrpcConnect, NoEndpoint, RequestBody, ResponseBody, ServedBy, Target,
};
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, alive_tasks, connected, eventually, instance, pay};

/// A health service; `stop` sends GOAWAY and lets what is in flight finish.
pub(crate) async fn health_server(stop: CancellationToken) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                () = stop.cancelled() => return,
            };
            let (health, stop) = (health.clone(), stop.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request| health.clone().call(request));
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let serving = builder.serve_connection(TokioIo::new(stream), answer);
                tokio::pin!(serving);
                tokio::select! {
                    _ = serving.as_mut() => return,
                    () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
                }
                let _closed = serving.await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_generated_client_calls_through_the_channel() {
    let (view, mut publisher) = pay();
    publisher.put(instance("a", health_server(CancellationToken::new()).await));
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.extensions().get::<ServedBy>().unwrap().target().key().id(), "a");
    assert_eq!(answer.into_inner().status, 1);
    let unknown = client.check(HealthCheckRequest { service: "x".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "a status of the server passes through");

    let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
}

#[tokio::test]
async fn g15_a_server_that_says_goaway_fails_no_call() {
    let (view, mut publisher) = pay();
    let stop = CancellationToken::new();
    publisher.put(instance("a", health_server(stop.clone()).await));
    publisher.put(instance("b", health_server(CancellationToken::new()).await));
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["a", "b"]).await;
    let callers = (0..8).map(|_| {
        let mut client = HealthClient::new(channel.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                client.check(HealthCheckRequest::default()).await.unwrap();
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::task::yield_now().await;
    stop.cancel();
    for caller in callers {
        caller.await.unwrap();
    }
    connected(&channel, &["b"]).await;
}

#[tokio::test]
async fn g15_no_endpoint_is_unavailable_to_a_grpc_caller() {
    let (view, _publisher) = pay();
    let limit = NoEndpoint::WaitUpTo(Duration::from_millis(20));
    let channel = DiscoveryLayer::new(view).served_by(true).on_no_endpoint(limit).layer(GrpcConnect::new());
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("no endpoint of service \"pay\""), "{status}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable_and_names_the_endpoint() {
    let (view, mut publisher) = pay();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    publisher.put(instance("a", listener.local_addr().unwrap().port()));
    tokio::spawn(async move {
        // Greets, takes the request and hangs up.
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let _request = connection.accept().await.unwrap().unwrap();
    });
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().starts_with("pay/a at http://127.0.0.1:"), "{status}");
}

#[tokio::test]
async fn g14_an_endpoint_that_accepts_but_does_not_serve_is_not_connected() {
    let (view, mut publisher) = pay();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    publisher.put(instance("deaf", deaf.local_addr().unwrap().port()));
    publisher.put(instance("serves", health_server(CancellationToken::new()).await));
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let mut client = HealthClient::new(channel.clone());
    for _ in 0..50 {
        client.check(HealthCheckRequest::default()).await.unwrap();
    }
    connected(&channel, &["serves"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_calls_deadline_covers_the_wait_and_says_who_had_it() {
    let fleet = Fleet::default();
    fleet.set("a", Behaviour::Hold);
    let (view, mut publisher) = pay();
    let channel = DiscoveryLayer::new(view).served_by(true).layer(fleet);
    let call = || {
        Request::post("/pay.Pay/Charge")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "300m")
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    let told = |answer: &Response<_>| {
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        (header("grpc-status"), header("grpc-message"))
    };
    let answer = channel.clone().oneshot(call()).await.unwrap();
    assert_eq!(told(&answer), ("4".into(), "the deadline of 300ms has passed while waiting for an endpoint".into()));

    publisher.put(instance("a", 1));
    connected(&channel, &["a"]).await;
    let answer = channel.clone().oneshot(call()).await.unwrap();
    let text = "the deadline of 300ms has passed while pay/a at http://127.0.0.1:1 had the request";
    assert_eq!(told(&answer), ("4".into(), text.into()));
}

#[tokio::test]
async fn a_stream_that_outlives_its_deadline_ends_with_deadline_exceeded() {
    let (view, mut publisher) = pay();
    publisher.put(instance("a", health_server(CancellationToken::new()).await));
    let channel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let mut stream = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

/// A channel to an endpoint whose answers have such a body.
fn answering<B, F>(
    body: F,
) -> (impl Service<Request<Full<Bytes>>, Response = Response<ResponseBody<B>>, Error = Error> + Clone, Publisher)
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
    F: Fn() -> B + Clone + Send + Sync + 'static,
{
    let (view, mut publisher) = pay();
    publisher.put(instance("a", 1));
    let connector = tower::service_fn(move |_target: Target| {
        let body = body.clone();
        let serve = tower::service_fn(move |_request: Request<RequestBody>| {
            std::future::ready(Ok::<_, BoxError>(Response::new(body())))
        });
        std::future::ready(Ok::<_, BoxError>(serve))
    });
    (DiscoveryLayer::new(view).served_by(true).layer(connector), publisher)
}

fn call_with_timeout(limit: &str) -> Request<Full<Bytes>> {
    let call = Request::post("/pay.Pay/Follow").header("content-type", "application/grpc");
    call.header("grpc-timeout", limit).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_faster_than_its_reader_ends_with_its_deadline() {
    let endless =
        || StreamBody::new(futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"more")))));
    let (channel, _publisher) = answering(endless);
    let mut body = channel.oneshot(call_with_timeout("100m")).await.unwrap().into_body();
    let mut read = 0;
    let trailers = loop {
        match body.frame().await.unwrap().unwrap().into_trailers() {
            Ok(trailers) => break trailers,
            Err(_data) => read += 1,
        }
        assert!(read < 1000, "it goes on and on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((read, &trailers["grpc-status"]), (10, &http::HeaderValue::from(4)));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ended_before_its_deadline_is_whole_when_it_is_read_late() {
    let ended = || {
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), http::HeaderValue::from(0))]);
        StreamBody::new(futures_util::stream::iter([
            Ok(Frame::data(Bytes::from_static(b"all"))),
            Ok(Frame::trailers(trailers)),
        ]))
    };
    let (channel, _publisher) = answering(ended);
    let mut body = channel.oneshot(call_with_timeout("100m")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "all");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn connections_end_with_the_last_clone() {
    let (view, mut publisher) = pay();
    let stop = CancellationToken::new();
    let port = health_server(stop.clone()).await;
    publisher.put(instance("a", port));
    let before = alive_tasks();
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let mut client = HealthClient::new(channel.clone());
    client.check(HealthCheckRequest::default()).await.unwrap();
    let ended = channel.ended();
    drop((channel, client));
    ended.await;
    eventually(|| alive_tasks() == before).await;
}
