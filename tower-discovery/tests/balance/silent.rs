//! Endpoints that refuse, that never answer a SYN, and that take a request and say nothing, beside one that serves.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use registry_client::{Selector, ServiceWatch};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect, ServedBy};
use tower_layer::Layer;

use crate::kit::{Behaviour, Fleet, ask, connected, eventually, instance, pay};
use crate::resend::{LOST_AFTER, Reply, frame_server};

/// A port at which the kernel leaves SYNs unanswered: its listener has no room, and nobody accepts.
struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    async fn listen() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// A port at which nobody listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn g14_endpoints_that_refuse_or_are_silent_get_no_second_request_while_another_is_connected() {
    let deaf = Deaf::listen().await;
    let (silent, good) = (frame_server(Reply::Silence).await, frame_server(Reply::Answer).await);
    let (view, mut publisher) = pay();
    publisher.replace([
        instance("refuses", closed_port().await),
        instance("deaf", deaf.address.port()),
        instance("silent", silent),
        instance("good", good),
    ]);
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["good", "silent"]).await;
    let mut lost = 0;
    for _ in 0..200 {
        match timeout(LOST_AFTER, ask(&channel)).await {
            Ok(answer) => assert_eq!(answer.unwrap().0, "good"),
            Err(_) => lost += 1,
        }
    }
    assert!(lost <= 1, "{lost} requests were lost to the endpoint that took them in silence");
    assert_eq!(channel.readiness().standing().known, Some(4));
}

#[tokio::test]
async fn g14_an_endpoint_that_let_a_calls_deadline_pass_in_silence_gets_no_second_request() {
    let (silent, good) = (frame_server(Reply::Silence).await, frame_server(Reply::Answer).await);
    let (view, mut publisher) = pay();
    publisher.replace([instance("silent", silent), instance("good", good)]);
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["good", "silent"]).await;
    let mut lost = 0;
    let mut served = 0;
    // Longer than a failure is held against an endpoint.
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let call = Request::post("/ask").header("content-type", "application/grpc").header("grpc-timeout", "1S");
        let answer = channel.clone().oneshot(call.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        match answer.extensions().get::<ServedBy>().unwrap().target().key().id() {
            "silent" => lost += 1,
            _ => served += 1,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(served > 100, "{served} requests were served");
    assert!(lost <= 1, "{lost} requests were lost to the endpoint that took them in silence");
}

#[tokio::test]
async fn g14_requests_at_once_lose_one_of_them_to_a_silent_endpoint() {
    let (silent, good) = (frame_server(Reply::Silence).await, frame_server(Reply::Answer).await);
    let (view, mut publisher) = pay();
    publisher.replace([instance("silent", silent), instance("good", good)]);
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    connected(&channel, &["good", "silent"]).await;
    // The one that serves has to be known as such before many come at once.
    while timeout(LOST_AFTER, ask(&channel)).await.is_err() {}
    let asking = (0..100).map(|_| timeout(LOST_AFTER, ask(&channel)));
    let answers = futures_util::future::join_all(asking).await;
    let lost = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(lost <= 1, "{lost} requests were lost");
}

#[tokio::test]
async fn g15_an_endpoint_that_never_answers_a_syn_alone_is_unavailable_at_the_limit() {
    let deaf = Deaf::listen().await;
    let (watch, mut publisher) = ServiceWatch::manual("pay");
    publisher.put(instance("deaf", deaf.address.port()));
    let limit = Duration::from_secs(1);
    let channel: GrpcChannel = DiscoveryLayer::new(watch.select(Selector::endpoint("rpc")))
        .served_by(true)
        .on_no_endpoint(tower_discovery::NoEndpoint::WaitUpTo(limit))
        .layer(GrpcConnect::new());
    let since = Instant::now();
    let error = ask(&channel).await.unwrap_err();
    let took = since.elapsed();
    // Before the attempt to connect is given up, on which nobody waits.
    assert!(took >= limit && took < 3 * limit, "{took:?}: {error}");
}

#[tokio::test(start_paused = true)]
async fn many_endpoints_that_swallow_attempts_do_not_hold_up_one_that_comes() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let ids: Vec<_> = (0..100).map(|number| format!("{number:02}")).collect();
    for id in &ids {
        fleet.set(id, Behaviour::Swallow);
        publisher.put(instance(id, 1));
    }
    let channel = DiscoveryLayer::new(view).served_by(true).parallel_connects(16).layer(fleet.clone());
    // Each has failed once, and the second attempts are under way.
    eventually(|| ids.iter().map(|id| fleet.connects(id)).sum::<usize>() >= ids.len() + 8).await;
    publisher.put(instance("good", 2));
    let since = Instant::now();
    connected(&channel, &["good"]).await;
    assert!(since.elapsed() < Duration::from_millis(100), "{:?}", since.elapsed());
}

/// From the start of a channel over these numbers of endpoints that serve and that never answer, in a random order, until
/// all of those that serve are connected.
async fn storm(serving: usize, silent: usize) -> Duration {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let mut ids: Vec<_> = (0..serving + silent).map(|number| number.to_string()).collect();
    fastrand::shuffle(&mut ids);
    ids.iter().take(silent).for_each(|id| fleet.set(id, Behaviour::Swallow));
    fastrand::shuffle(&mut ids);
    publisher.replace(ids.iter().map(|id| instance(id, 1)));
    let began = Instant::now();
    let channel = DiscoveryLayer::new(view).layer(fleet);
    timeout(Duration::from_secs(600), channel.wait_until(|targets| targets.len() == serving)).await.unwrap();
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_fifth_of_a_thousand_endpoints_that_never_answer_do_not_hold_up_the_others_at_the_start() {
    let took = storm(800, 200).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}
