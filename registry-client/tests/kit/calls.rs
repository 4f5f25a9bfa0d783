//! Plain etcd calls, each on one connection that is made anew when it breaks.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry_proto::etcdserverpb::auth_client::AuthClient;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest,
};
use registry_proto::mvccpb::KeyValue;
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tower_service::Service;

use super::PATIENCE;

/// A connection to one address, as the stubs want it.
#[derive(Clone)]
pub(super) struct Plain {
    sender: SendRequest<Body>,
    endpoint: String,
    /// Who calls, while the server asks.
    token: Arc<Mutex<Option<HeaderValue>>>,
}

impl Service<Request<Body>> for Plain {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let uri = format!("{}{}", self.endpoint, request.uri().path());
        *request.uri_mut() = uri.parse::<Uri>().unwrap();
        if let Some(token) = self.token.lock().unwrap().clone() {
            request.headers_mut().insert("token", token);
        }
        Box::pin(self.sender.send_request(request))
    }
}

/// What the tests do behind the SDK's back.
#[derive(Clone)]
pub(crate) struct Calls {
    kv: KvClient<Plain>,
    lease: LeaseClient<Plain>,
    pub(super) auth: AuthClient<Plain>,
    pub(super) token: Arc<Mutex<Option<HeaderValue>>>,
}

impl Calls {
    /// Waits until the server answers.
    pub(crate) async fn connect(endpoint: &str) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(plain) = plain(endpoint).await {
                let token = Arc::clone(&plain.token);
                let (kv, lease) = (KvClient::new(plain.clone()), LeaseClient::new(plain.clone()));
                let mut calls = Self { kv, lease, auth: AuthClient::new(plain), token };
                // A server that asks who calls has answered.
                match calls.lease.lease_leases(LeaseLeasesRequest {}).await {
                    Err(status) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled) => {}
                    _ => return calls,
                }
            }
            assert!(Instant::now() < deadline, "{endpoint} does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn get(&mut self, key: &str) -> Option<KeyValue> {
        let request = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let answer = self.kv.range(request).await.unwrap().into_inner();
        answer.kvs.into_messages().unwrap().into_iter().next()
    }

    /// How many keys begin with that.
    pub(crate) async fn count(&mut self, prefix: &str) -> i64 {
        let (key, range_end) = span(prefix);
        let request = RangeRequest { key, range_end, count_only: true, ..Default::default() };
        self.kv.range(request).await.unwrap().into_inner().count
    }

    /// Deletes all keys that begin with that.
    pub(crate) async fn delete_all(&mut self, prefix: &str) {
        let (key, range_end) = span(prefix);
        self.kv.delete_range(DeleteRangeRequest { key, range_end, ..Default::default() }).await.unwrap();
    }

    /// Says the revision.
    pub(crate) async fn put(&mut self, key: &str, value: impl Into<Bytes>, lease: i64) -> i64 {
        let request = PutRequest { key: key.to_owned().into(), value: value.into(), lease, ..Default::default() };
        self.kv.put(request).await.unwrap().into_inner().header.unwrap().revision
    }

    /// Says the revision.
    pub(crate) async fn delete(&mut self, key: &str) -> i64 {
        let request = DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() };
        self.kv.delete_range(request).await.unwrap().into_inner().header.unwrap().revision
    }

    pub(crate) async fn compact(&mut self, revision: i64) {
        self.kv.compact(CompactionRequest { revision, physical: true }).await.unwrap();
    }

    pub(crate) async fn leases(&mut self) -> Vec<i64> {
        let answer = self.lease.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
        answer.leases.into_iter().map(|lease| lease.id).collect()
    }

    pub(crate) async fn grant(&mut self, ttl: i64) -> i64 {
        self.lease.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await.unwrap().into_inner().id
    }

    pub(crate) async fn revoke(&mut self, id: i64) {
        self.lease.lease_revoke(LeaseRevokeRequest { id }).await.unwrap();
    }
}

/// All keys that begin with a prefix, which ends in a byte below 255.
fn span(prefix: &str) -> (Bytes, Bytes) {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    (prefix.to_owned().into(), end.into())
}

async fn plain(endpoint: &str) -> Option<Plain> {
    let address = endpoint.strip_prefix("http://").unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    drop(tokio::spawn(connection));
    Some(Plain { sender, endpoint: endpoint.to_owned(), token: Arc::default() })
}
