//! Tokens on a network in memory: how often the registry is asked for one, and what becomes of calls meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use prost::Message;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    AuthenticateResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, RangeRequest, RangeResponse, WatchRequest,
    WatchResponse,
};
use tonic::body::Body;
use tonic::{Code, Status};

use super::connector::{BoxFuture, Connector, Link, SendError};
use super::{Channel, Credentials, failure};
use crate::error::Error;
use crate::instance::Endpoint;
use crate::watch::hub::{Message as WatchMessage, WatchHub};
use crate::watch::span::Span;

const LOGIN: &str = "/etcdserverpb.Auth/Authenticate";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// A registry that gives out the tokens `t1`, `t2`, ... and takes the one whose number is `valid`.
#[derive(Debug, Default)]
struct Registry {
    logins: usize,
    valid: usize,
    /// None of the tokens is any good.
    takes_none: bool,
    /// Calls with the newest token have no answer.
    says_nothing: bool,
    connections: usize,
}

#[derive(Debug, Clone, Default)]
struct Network(Arc<Mutex<Registry>>);

impl Connector for Network {
    fn connect(&self, _: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let link = self.clone();
        link.0.lock().connections += 1;
        Box::pin(async { Ok(Box::new(link) as Box<dyn Link>) })
    }
}

impl Link for Network {
    fn is_usable(&self) -> bool {
        true
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let network = self.clone();
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let path = request.uri().path().to_owned();
            let token = request.headers().get("token").map(|token| token.to_str().unwrap().to_owned());
            if network.0.lock().says_nothing && path != LOGIN {
                return std::future::pending().await;
            }
            let good = network.takes(token.as_deref());
            let refusal = Status::unauthenticated("etcdserver: invalid auth token");
            Ok(match path.as_str() {
                LOGIN => network.log_in(),
                WATCH => watched(request, good).await,
                // A stream that is answered, and then told that its token is bad.
                KEEP_ALIVE => answer(&LeaseKeepAliveResponse { id: 1, ttl: 9, ..Default::default() }, &refusal),
                _ if good => answer(&RangeResponse::default(), &Status::ok("")),
                _ => refusal.into_http(),
            })
        })
    }
}

impl Network {
    fn takes(&self, token: Option<&str>) -> bool {
        let registry = self.0.lock();
        token == Some(&format!("t{}", registry.valid)) && !registry.takes_none
    }

    fn log_in(&self) -> Response<Body> {
        let mut registry = self.0.lock();
        registry.logins += 1;
        registry.says_nothing = false;
        registry.valid = registry.logins;
        let token = format!("t{}", registry.logins);
        answer(&AuthenticateResponse { token, ..Default::default() }, &Status::ok(""))
    }
}

/// The answer to a stream's first watch; the stream stays open. It is refused as etcd 3.4 does it.
async fn watched(request: Request<Body>, good: bool) -> Response<Body> {
    let first = request.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    let Some(RequestUnion::CreateRequest(create)) = WatchRequest::decode(&first[5..]).unwrap().request_union else {
        panic!("a stream begins with a watch")
    };
    let cancel_reason = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token".to_owned();
    let created = WatchResponse { watch_id: create.watch_id, created: true, ..Default::default() };
    let refused = WatchResponse { watch_id: -1, created: true, canceled: true, cancel_reason, ..Default::default() };
    let message = framed(if good { &created } else { &refused });
    let frames = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(message))]);
    let body = StreamBody::new(frames.chain(futures_util::stream::pending()));
    let mut answer = Response::new(Body::new(body));
    answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    answer
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    framed.freeze()
}

fn answer(message: &impl Message, status: &Status) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).unwrap();
    let body = Full::<Bytes>::new(framed(message)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = Response::new(Body::new(body));
    answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    answer
}

/// A channel to it with somebody who logs in.
fn channel() -> (Channel, Network) {
    channel_of(Credentials::password("pay".to_owned(), "hunter2".to_owned()))
}

fn channel_of(credentials: Credentials) -> (Channel, Network) {
    let network = Network::default();
    let endpoints = vec![Endpoint::parse("http://10.0.0.1:2379").unwrap()];
    let channel = Channel::over(Arc::new(network.clone()), endpoints, Some(credentials), false);
    drop(tokio::spawn(channel.log_in().unwrap()));
    (channel, network)
}

async fn calls(channel: &Channel, count: usize) -> Vec<Result<(), Status>> {
    let call = |_| {
        let mut client = KvClient::new(channel.clone());
        async move { client.range(RangeRequest::default()).await.map(drop) }
    };
    join_all((0..count).map(call)).await
}

#[tokio::test(start_paused = true)]
async fn g04_many_calls_share_one_login_and_another_when_the_token_is_refused() {
    let (channel, network) = channel();
    for logins in 1..4 {
        let answers = calls(&channel, 50).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(network.0.lock().logins, logins);
        network.0.lock().valid = 0;
    }
}

#[tokio::test(start_paused = true)]
async fn g04_a_registry_that_takes_no_token_is_not_asked_in_a_circle() {
    let (channel, network) = channel();
    network.0.lock().takes_none = true;
    let begun = tokio::time::Instant::now();
    while begun.elapsed().as_secs() < 60 {
        let status = calls(&channel, 1).await.remove(0).unwrap_err();
        let failure = failure(&status);
        assert!(matches!(failure.error, Error::Unavailable { .. }) && !failure.maybe_done, "{failure:?}");
    }
    let logins = network.0.lock().logins;
    assert!((2..30).contains(&logins), "{logins} logins in a minute");
}

#[tokio::test(start_paused = true)]
async fn g04_a_stream_that_is_told_at_its_end_that_its_token_is_bad_has_it_replaced() {
    let (channel, network) = channel();
    let requests = tokio_stream::iter([LeaseKeepAliveRequest { id: 1 }]);
    let answer = LeaseClient::new(channel.clone()).lease_keep_alive(requests).await.unwrap();
    let token = Channel::token_of(answer.extensions());
    let mut answers = answer.into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl, 9);
    assert!(!channel.is_outdated(token));
    let status = answers.message().await.unwrap_err();
    assert_ne!(status.code(), Code::Unauthenticated, "it is told as what it is, a matter of the token");
    assert!(matches!(failure(&status).error, Error::Unavailable { .. }) && channel.is_outdated(token));
    assert!(calls(&channel, 1).await[0].is_ok());
    assert_eq!(network.0.lock().logins, 2);
}

#[tokio::test(start_paused = true)]
async fn g04_a_token_is_given_up_when_a_new_connection_says_nothing_to_it_and_only_then() {
    let (channel, network) = channel();
    assert!(calls(&channel, 1).await[0].is_ok());
    let silent = async || {
        network.0.lock().says_nothing = true;
        let called_at = tokio::time::Instant::now();
        assert!(tokio::time::timeout(super::CALL_LIMIT, calls(&channel, 3)).await.is_err());
        channel.condemn(called_at);
        network.0.lock().logins
    };
    assert_eq!(silent().await, 1, "the token was taken on this connection: a stall says nothing about it");
    assert_eq!(silent().await, 1);
    assert!(calls(&channel, 1).await[0].is_ok());
    let registry = network.0.lock();
    assert_eq!((registry.logins, registry.connections), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn g04_a_watch_that_is_refused_for_its_token_moves_to_a_stream_with_another() {
    let (channel, network) = channel();
    assert!(calls(&channel, 1).await[0].is_ok());
    let (hub, stream) = WatchHub::new(channel.clone());
    drop(tokio::spawn(stream));
    // The token ends, and the watch is the first to meet that.
    network.0.lock().valid = 0;
    let span = Span::prefix("/services/pay/");
    let mut watch = hub.watch(span.clone(), 1).await;
    assert!(matches!(watch.next().await, Some(WatchMessage::Moved)));
    let mut watch = hub.watch(span, 1).await;
    assert!(matches!(watch.next().await, Some(WatchMessage::Created { .. })));
    assert_eq!(network.0.lock().logins, 2);
}

#[tokio::test(start_paused = true)]
async fn g04_a_source_of_tokens_that_panics_is_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let source = move || {
        let times = counted.fetch_add(1, Ordering::Relaxed);
        assert!(times > 0, "the first call itself panics");
        async move {
            assert!(times > 1, "so does the second one's future");
            Ok::<_, Error>("t1".to_owned())
        }
    };
    let (channel, network) = channel_of(Credentials::source(source));
    network.0.lock().valid = 1;
    for _ in 0..2 {
        let status = calls(&channel, 1).await.remove(0).unwrap_err();
        assert!(failure(&status).error.to_string().contains("panicked"), "{status:?}");
        // It is not asked again before a pause.
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    }
    assert!(calls(&channel, 1).await[0].is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
