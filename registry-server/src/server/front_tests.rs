//! The front door as clients meet it: over real sockets, with the generated client.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use registry_proto::etcdserverpb::cluster_server::Cluster;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::kv_server::Kv;
use registry_proto::etcdserverpb::lease_server::Lease;
use registry_proto::etcdserverpb::maintenance_server::Maintenance;
use registry_proto::etcdserverpb::watch_server::Watch;
use registry_proto::etcdserverpb::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;

use super::{Calls, Config, FrontDoor, Listener, Others, Parts, Services};
use crate::api::{LearnerCalls, RequireLeader};
use crate::http::{HealthSource, Paths, ReadFuture};
use crate::tls::{Acceptor, PeerCertificate};

type Answer<T> = Result<tonic::Response<T>, Status>;
type Never<T> = tokio_stream::Empty<Result<T, Status>>;

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Echoes a put's value as the previous one. A range waits until it is let go, a streamed one before each
/// of its messages, without end.
#[derive(Clone, Default)]
pub(super) struct Echo {
    entered: Arc<Notify>,
    let_go: Arc<Notify>,
}

#[tonic::async_trait]
impl Kv for Echo {
    async fn range(&self, _: tonic::Request<RangeRequest>) -> Answer<RangeResponse> {
        self.entered.notify_one();
        self.let_go.notified().await;
        Ok(tonic::Response::new(RangeResponse { count: 7, ..RangeResponse::default() }))
    }
    type RangeStreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;
    async fn range_stream(&self, _: tonic::Request<RangeRequest>) -> Answer<Self::RangeStreamStream> {
        let messages = futures_util::stream::unfold(self.let_go.clone(), |let_go| async move {
            let_go.notified().await;
            Some((Ok(RangeStreamResponse::default()), let_go))
        });
        Ok(tonic::Response::new(Box::pin(messages)))
    }
    async fn put(&self, request: tonic::Request<PutRequest>) -> Answer<PutResponse> {
        // A put of nothing is answered with who has sent it.
        if request.get_ref().key.is_empty() {
            let user = request.extensions().get().and_then(PeerCertificate::common_name).unwrap_or_default();
            let prev_kv =
                Some(registry_proto::mvccpb::KeyValue { value: user.to_owned().into(), ..Default::default() });
            return Ok(tonic::Response::new(PutResponse { prev_kv, ..PutResponse::default() }));
        }
        let PutRequest { key, value, .. } = request.into_inner();
        let prev_kv = Some(registry_proto::mvccpb::KeyValue { key, value, ..Default::default() });
        Ok(tonic::Response::new(PutResponse { prev_kv, ..PutResponse::default() }))
    }
    async fn delete_range(&self, _: tonic::Request<DeleteRangeRequest>) -> Answer<DeleteRangeResponse> {
        panic!("a service that panics");
    }
    async fn txn(&self, _: tonic::Request<TxnRequest>) -> Answer<TxnResponse> {
        Err(Status::unimplemented("unused"))
    }
    async fn compact(&self, _: tonic::Request<CompactionRequest>) -> Answer<CompactionResponse> {
        Err(Status::unimplemented("unused"))
    }
}

/// The services that these tests do not call.
struct Unused;

macro_rules! unused {
    ($service:ident { $($method:ident($request:ty) -> $response:ty,)* } $($stream:ident $streaming:ident($input:ty) -> $output:ty)?) => {
        #[tonic::async_trait]
        impl $service for Unused {
            $(async fn $method(&self, _: tonic::Request<$request>) -> Answer<$response> {
                Err(Status::unimplemented("unused"))
            })*
            $(type $stream = Never<$output>;
            async fn $streaming(&self, _: tonic::Request<$input>) -> Answer<Self::$stream> {
                Err(Status::unimplemented("unused"))
            })?
        }
    };
}

unused!(Watch {} WatchStream watch(tonic::Streaming<WatchRequest>) -> WatchResponse);
unused!(Lease {
    lease_grant(LeaseGrantRequest) -> LeaseGrantResponse,
    lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse,
    lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse,
    lease_leases(LeaseLeasesRequest) -> LeaseLeasesResponse,
} LeaseKeepAliveStream lease_keep_alive(tonic::Streaming<LeaseKeepAliveRequest>) -> LeaseKeepAliveResponse);
unused!(Cluster {
    member_add(MemberAddRequest) -> MemberAddResponse,
    member_remove(MemberRemoveRequest) -> MemberRemoveResponse,
    member_update(MemberUpdateRequest) -> MemberUpdateResponse,
    member_list(MemberListRequest) -> MemberListResponse,
    member_promote(MemberPromoteRequest) -> MemberPromoteResponse,
});
unused!(Maintenance {
    alarm(AlarmRequest) -> AlarmResponse,
    status(StatusRequest) -> StatusResponse,
    defragment(DefragmentRequest) -> DefragmentResponse,
    hash(HashRequest) -> HashResponse,
    hash_kv(HashKvRequest) -> HashKvResponse,
    move_leader(MoveLeaderRequest) -> MoveLeaderResponse,
    downgrade(DowngradeRequest) -> DowngradeResponse,
} SnapshotStream snapshot(SnapshotRequest) -> SnapshotResponse);

struct Well;

impl HealthSource for Well {
    fn read(&self, _serializable: bool) -> ReadFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn alarms(&self) -> Vec<AlarmType> {
        Vec::new()
    }
    fn has_leader(&self) -> bool {
        true
    }
    fn is_learner(&self) -> bool {
        false
    }
    fn vars(&self) -> Vec<(&'static str, serde_json::Value)> {
        Vec::new()
    }
}

/// A front door on a port of its own.
fn open(echo: Echo, change: impl FnOnce(&mut Config)) -> FrontDoor {
    open_with(echo, change, None)
}

/// The same with what secures https.
pub(super) fn open_with(echo: Echo, change: impl FnOnce(&mut Config), tls: Option<Acceptor>) -> FrontDoor {
    let mut config = Config {
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(2),
        ..Config::default()
    };
    change(&mut config);
    let parts = Parts {
        others: Others::default(),
        kv: echo,
        watch: Unused,
        lease: Unused,
        cluster: Unused,
        maintenance: Unused,
        health: HealthReporter::new(),
        paths: Paths::new(Arc::new(Well), Arc::new(String::new)),
        calls: Calls::new(config.warning_unary_request_duration),
        leader: Arc::new(RequireLeader::new(|| true)),
        learner: LearnerCalls::new(|| false),
    };
    let bound = Listener::bind(&config.listen_client_urls).unwrap().with_tls(tls);
    FrontDoor::start(bound, Services::new(parts, &config), &config).unwrap()
}

/// One HTTP/2 connection, as the transport of generated clients.
#[derive(Clone)]
pub(super) struct Channel(SendRequest<Body>, SocketAddr);

impl Channel {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address).await
    }

    pub(super) async fn over<IO>(stream: IO, address: SocketAddr) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.timer(TokioTimer::new()).handshake(TokioIo::new(stream)).await.unwrap();
        drop(tokio::spawn(connection));
        Self(sender, address)
    }
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().unwrap().clone();
        *request.uri_mut() =
            Uri::builder().scheme("http").authority(self.1.to_string()).path_and_query(path).build().unwrap();
        Box::pin(self.0.send_request(request))
    }
}

async fn client(door: &FrontDoor) -> KvClient<Channel> {
    KvClient::new(Channel::connect(door.addresses()[0]).await).max_decoding_message_size(usize::MAX)
}

/// The whole answer to raw bytes, with the writing side closed after them.
pub(super) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A reset is an answer, too.
    drop(stream.read_to_end(&mut answer).await);
    answer
}

fn put(len: usize) -> PutRequest {
    PutRequest { key: "k".into(), value: vec![7; len].into(), ..PutRequest::default() }
}

#[tokio::test]
async fn grpc_and_http_are_served_on_one_port() {
    let door = open(Echo::default(), |_| {});
    let mut client = client(&door).await;
    let answer = client.put(put(100_000)).await.unwrap().into_inner();
    assert_eq!(answer.prev_kv.unwrap().value, Bytes::from(vec![7; 100_000]));
    let request = b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(raw(door.addresses()[0], request).await).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains(r#""etcdserver":"3.7.1""#), "{text}");
    door.shutdown().await;
}

#[tokio::test]
async fn http_paths_are_served_over_http2_too() {
    let door = open(Echo::default(), |_| {});
    let mut channel = Channel::connect(door.addresses()[0]).await;
    let request = Request::builder().uri("http://a/health").body(Body::empty()).unwrap();
    let response = tower_service::Service::call(&mut channel, request).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn many_connections_and_requests_at_once_are_all_answered() {
    let door = open(Echo::default(), |_| {});
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client(&door).await;
        for len in 0..50 {
            let mut client = client.clone();
            tasks.spawn(async move { client.put(put(len * 100)).await.unwrap().into_inner() });
        }
    }
    assert_eq!(tasks.join_all().await.len(), 1000);
}

#[tokio::test]
async fn each_message_of_a_stream_arrives_when_it_is_sent() {
    let echo = Echo::default();
    let door = open(echo.clone(), |_| {});
    let mut client = client(&door).await;
    let mut stream = client.range_stream(RangeRequest::default()).await.unwrap().into_inner();
    for _ in 0..100 {
        echo.let_go.notify_one();
        assert!(stream.message().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_oversized_message_is_answered_in_etcds_words() {
    let door = open(Echo::default(), |config| config.max_request_bytes = 1024 * 1024);
    let mut client = client(&door).await;
    client.put(put(1024 * 1024)).await.unwrap();
    let status = client.put(put(2 * 1024 * 1024)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("grpc: received message larger than max ("), "{status}");
    client.put(put(1)).await.unwrap();
}

#[tokio::test]
async fn an_unknown_service_and_an_unknown_method_are_unimplemented_in_etcds_words() {
    let door = open(Echo::default(), |_| {});
    let mut channel = Channel::connect(door.addresses()[0]).await;
    for (path, text) in [
        ("/a.B/C", "unknown service a.B"),
        ("/abc", "malformed method name: \"/abc\""),
        ("/etcdserverpb.KV/Nothing", "unknown method Nothing for service etcdserverpb.KV"),
    ] {
        let request = Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
        let response = tower_service::Service::call(&mut channel, request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));
    }
}

#[tokio::test]
async fn garbage_on_the_port_hurts_nobody() {
    let door = open(Echo::default(), |_| {});
    let address = door.addresses()[0];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let garbage: [&[u8]; 7] = [
        b"",
        b"PRI * HT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET",
        &[0xff; 100_000],
        &[preface.as_slice(), &[0xff; 1000]].concat(),
        // A data frame on a stream that nobody opened.
        &[preface.as_slice(), b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"\x00\x00\x01\x00\x00\x00\x00\x00\x07x"]
            .concat(),
    ];
    for bytes in garbage {
        drop(raw(address, bytes).await);
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let len = rng.usize(1..200);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
        let head: &[u8] = if rng.bool() { preface } else { b"" };
        drop(raw(address, &[head, &noise].concat()).await);
    }
    client(&door).await.put(put(1)).await.unwrap();
    door.shutdown().await;
}

#[tokio::test]
async fn a_service_that_panics_ends_one_request_only() {
    let door = open(Echo::default(), |_| {});
    let mut client = client(&door).await;
    client.delete_range(DeleteRangeRequest::default()).await.unwrap_err();
    client.put(put(1)).await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_finish() {
    let echo = Echo::default();
    let door = open(echo.clone(), |config| config.shutdown_grace = Duration::from_secs(3600));
    let address = door.addresses()[0];
    // This one stays open, so that the connection ends only because it is asked to.
    let idle = client(&door).await;
    let mut client = idle.clone();
    let waiting = tokio::spawn(async move { client.range(RangeRequest::default()).await });
    echo.entered.notified().await;
    let stopping = tokio::spawn(door.shutdown());
    // The stop has begun once nobody is accepted any more.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    echo.let_go.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().into_inner().count, 7);
    tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("the connection was not asked").unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let echo = Echo::default();
    let door = open(echo.clone(), |config| config.shutdown_grace = Duration::from_millis(50));
    let mut client = client(&door).await;
    let waiting = tokio::spawn(async move { client.range(RangeRequest::default()).await });
    echo.entered.notified().await;
    let silent = TcpStream::connect(door.addresses()[0]).await.unwrap();
    door.shutdown().await;
    waiting.await.unwrap().unwrap_err();
    drop(silent);
}

#[tokio::test]
async fn above_the_connection_limit_callers_wait_for_a_place() {
    let door = open(Echo::default(), |config| config.max_connections = 1);
    let address = door.addresses()[0];
    let mut first = client(&door).await;
    first.put(put(1)).await.unwrap();
    let second =
        tokio::spawn(
            async move { raw(address, b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await },
        );
    for _ in 0..20 {
        first.put(put(1)).await.unwrap();
    }
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_call_ends_when_its_clients_timeout_has_passed() {
    let echo = Echo::default();
    let door = open(echo.clone(), |_| {});
    let mut client = client(&door).await;
    let within = |timeout| {
        let mut request = tonic::Request::new(RangeRequest::default());
        request.set_timeout(timeout);
        request
    };
    // Nobody lets these go.
    let status = client.range(within(Duration::from_millis(50))).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "context deadline exceeded"));
    let mut stream = client.range_stream(within(Duration::from_millis(50))).await.unwrap().into_inner();
    let status = stream.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "context deadline exceeded"));
    // What is answered in time is not touched.
    echo.let_go.notify_one();
    assert_eq!(client.range(within(Duration::from_secs(60))).await.unwrap().into_inner().count, 7);
    let mut request = tonic::Request::new(RangeRequest::default());
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let status = client.range(request).await.unwrap_err();
    assert!(status.code() == Code::Internal && status.message().starts_with("malformed grpc-timeout"), "{status}");
}

/// A frame of HTTP/2 on stream 1.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, u8::from(kind < 2)], payload].concat()
}

#[tokio::test]
async fn a_client_may_name_any_authority() {
    let door = open(Echo::default(), |_| {});
    for authority in ["127.0.0.1:2379", "http://127.0.0.1:2379", "#initially=[127.0.0.1:2379]", "/run/a.sock", "a b"] {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        // POST, http, the authority, the path, the content type.
        let head = [
            &[0x83, 0x86, 0x41][..],
            &text(authority),
            &[0x44],
            &text("/etcdserverpb.KV/Put"),
            &[0x5f],
            &text("application/grpc"),
        ];
        let settings = frame(4, 0, &[]);
        let wire = [PREFACE, &settings, &frame(1, 4, &head.concat()), &frame(0, 1, &[0; 5])].concat();
        let mut stream = TcpStream::connect(door.addresses()[0]).await.unwrap();
        stream.write_all(&wire).await.unwrap();
        // Up to the head of the answer, or a reset or the end in its place.
        let kind = loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            if matches!(head[3], 1 | 3 | 7) {
                break head[3];
            }
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
        };
        assert_eq!(kind, 1, "{authority}");
    }
}
