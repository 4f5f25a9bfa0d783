//! From a request's path to the service that answers it: gRPC by service name, the rest to `http`.
//!
//! The generated services are called directly. A router in between costs an allocation and a path match a
//! request, and knows nothing of etcd's texts.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::service::Service;
use prost::Message;
use registry_proto::etcdserverpb::cluster_server::{Cluster, ClusterServer};
use registry_proto::etcdserverpb::kv_server::{Kv, KvServer};
use registry_proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use registry_proto::etcdserverpb::maintenance_server::{Maintenance, MaintenanceServer};
use registry_proto::etcdserverpb::watch_server::{Watch, WatchServer};
use registry_proto::peer::peer_server::PeerServer;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, StdError};
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service as _;

use super::calls::{Call, Calls};
use super::config::Config;
use super::counted::Counted;
use super::deadline::{self, Deadline};
use super::methods::is_served;
use super::others::Others;
use super::patient::Patient;
use super::plain::Plain;
use super::unary::{self, Again, Method};
use crate::api::{LearnerCalls, RequireLeader};
use crate::consensus::PeerService;
use crate::http::Paths;

/// Everything that the client port answers.
#[derive(Debug)]
pub struct Services<K, W, L, C, M> {
    kv: Arc<K>,
    /// The same for what is no plain call.
    kv_streams: KvServer<K>,
    watch: WatchServer<W>,
    lease: LeaseServer<L>,
    cluster: ClusterServer<C>,
    maintenance: MaintenanceServer<M>,
    health: HealthServer<HealthService>,
    others: Others,
    plain: Plain,
    calls: Arc<Calls>,
    leader: Arc<RequireLeader>,
    learner: LearnerCalls,
    /// The largest message, in bytes.
    limit: usize,
    /// How long a client may read nothing of a large answer.
    patience: Duration,
}

/// The calls that there are most of, which go a shorter way.
#[derive(Debug, Clone, Copy)]
enum Short {
    Range,
    Put,
    DeleteRange,
    Txn,
}

impl Short {
    /// By a method's name in etcd's KV service.
    fn of(method: &str) -> Option<Self> {
        Some(match method {
            "Range" => Self::Range,
            "Put" => Self::Put,
            "DeleteRange" => Self::DeleteRange,
            "Txn" => Self::Txn,
            _ => return None,
        })
    }
}

/// Only the plain HTTP paths, for probes on ports of their own.
#[derive(Debug)]
pub struct Probes(pub Paths);

/// Everything that the peer port answers.
#[derive(Debug)]
pub(super) struct Peers(PeerServer<PeerService>);

impl Peers {
    /// The service, reading messages up to `config`'s bound.
    pub(super) fn new(service: PeerService, config: &Config) -> Self {
        Self(PeerServer::new(service).max_decoding_message_size(config.max_peer_message_bytes()))
    }
}

impl Service<Request<Incoming>> for Peers {
    type Response = Response<Counted<Body>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        // A client that took this for the client port gets a word.
        if !request.uri().path().starts_with("/registry.peer.v1.Peer/") {
            return Answer::refused(&Status::unimplemented("this port is for the members of the cluster"));
        }
        let under_way = self.0.clone().call(request.map(|body| Counted::request(body, None)));
        Answer { under_way, call: None, deadline: None, patience: None }
    }
}

/// The parts of [`Services`].
#[derive(Debug)]
pub struct Parts<K, W, L, C, M> {
    /// `etcdserverpb.KV`.
    pub kv: K,
    /// `etcdserverpb.Watch`.
    pub watch: W,
    /// `etcdserverpb.Lease`.
    pub lease: L,
    /// `etcdserverpb.Cluster`.
    pub cluster: C,
    /// `etcdserverpb.Maintenance`.
    pub maintenance: M,
    /// What `grpc.health.v1.Health` reports.
    pub health: HealthReporter,
    /// Services that are called rarely.
    pub others: Others,
    /// The plain HTTP paths.
    pub paths: Paths,
    /// Where gRPC calls are counted.
    pub calls: Arc<Calls>,
    /// For those who want a leader.
    pub leader: Arc<RequireLeader>,
    /// What a learner does not do.
    pub learner: LearnerCalls,
}

impl<K: Kv, W: Watch, L: Lease, C: Cluster, M: Maintenance> Services<K, W, L, C, M> {
    /// The services, each reading messages up to `config`'s bound.
    pub fn new(parts: Parts<K, W, L, C, M>, config: &Config) -> Self {
        let limit = config.max_message_bytes();
        let health = HealthService::from_health_reporter(parts.health);
        let kv = Arc::new(parts.kv);
        Self {
            kv_streams: KvServer::from_arc(kv.clone()).max_decoding_message_size(limit),
            kv,
            limit,
            watch: WatchServer::new(parts.watch).max_decoding_message_size(limit),
            lease: LeaseServer::new(parts.lease).max_decoding_message_size(limit),
            cluster: ClusterServer::new(parts.cluster).max_decoding_message_size(limit),
            maintenance: MaintenanceServer::new(parts.maintenance).max_decoding_message_size(limit),
            health: HealthServer::new(health).max_decoding_message_size(limit),
            others: parts.others,
            plain: Plain::new(parts.paths, config),
            calls: parts.calls,
            leader: parts.leader,
            learner: parts.learner,
            patience: config.answer_patience,
        }
    }

    fn short<B>(&self, method: Short, request: Request<B>) -> BoxFuture<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<StdError> + Send + Unpin> + Send + Unpin + 'static,
    {
        match method {
            Short::Range => self.plain_kv(request, |kv, request| kv.range(request)),
            Short::Put => self.plain_kv(request, |kv, request| kv.put(request)),
            Short::DeleteRange => self.plain_kv(request, |kv, request| kv.delete_range(request)),
            Short::Txn => self.plain_kv(request, |kv, request| kv.txn(request)),
        }
    }

    fn plain_kv<Q, A, B>(&self, request: Request<B>, method: Method<K, Q, A>) -> BoxFuture<Response<Body>, Infallible>
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        B: HttpBody<Data = Bytes, Error: Into<StdError> + Send + Unpin> + Send + Unpin + 'static,
    {
        let mut streams = self.kv_streams.clone();
        let otherwise = move |request: Request<Again<B>>| streams.call(request);
        unary::answer(request, self.limit, (self.kv.clone(), method), otherwise)
    }

    /// Answers a gRPC request, whatever carries it.
    pub fn grpc<B>(&self, request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes, Error: Into<StdError> + Send + Unpin> + Send + Unpin + 'static,
    {
        let path = request.uri().path();
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Answer::refused(&Status::unimplemented(format!("malformed method name: {path:?}")));
        };
        let unknown_service = || Answer::refused(&Status::unimplemented(format!("unknown service {service}")));
        let Some(call) = self.calls.begin(path, request.headers()) else {
            if !is_served(service) {
                return unknown_service();
            }
            // The generated services would refuse the method as well, but without a word.
            let text = format!("unknown method {method} for service {service}");
            return Answer::refused(&Status::unimplemented(text));
        };
        let headers = request.headers();
        let may = self.learner.check(path).and_then(|()| call.note_version(headers));
        let may = may.and_then(|()| self.leader.check(headers));
        let deadline = match may.and_then(|()| deadline::asked(headers)) {
            Ok(deadline) => deadline,
            Err(status) => return Answer { call: Some(call), ..Answer::refused(&status) },
        };
        let counted = |mut request: Request<B>| {
            if let Some(span) = call.span() {
                request.extensions_mut().insert(span.clone());
            }
            request.map(|body| Counted::request(body, Some(call.clone())))
        };
        // A generated service is a counted pointer and a few settings: cloning it is cheap.
        let under_way = match service {
            "etcdserverpb.KV" => match Short::of(method) {
                Some(method) => self.short(method, counted(request)),
                None => self.kv_streams.clone().call(counted(request)),
            },
            "etcdserverpb.Watch" => self.watch.clone().call(counted(request)),
            "etcdserverpb.Lease" => self.lease.clone().call(counted(request)),
            "etcdserverpb.Cluster" => self.cluster.clone().call(counted(request)),
            "etcdserverpb.Maintenance" => self.maintenance.clone().call(counted(request)),
            "grpc.health.v1.Health" => self.health.clone().call(counted(request)),
            other => {
                let Some(route) = self.others.find(other) else { return unknown_service() };
                route.call(counted(request).map(Body::new))
            }
        };
        Answer { under_way, call: Some(call), deadline, patience: None }
    }
}

impl<K: Kv, W: Watch, L: Lease, C: Cluster, M: Maintenance> Service<Request<Incoming>> for Services<K, W, L, C, M> {
    type Response = Response<Counted<Body>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        if is_grpc(&request) {
            return self.grpc(request).patient(self.patience);
        }
        self.plain.answer(request, |call| self.grpc(call)).patient(self.patience)
    }
}

impl Service<Request<Incoming>> for Probes {
    type Response = Response<Counted<Body>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let paths = self.0.clone();
        Answer::later(async move { paths.answer(request.method(), request.uri()).await })
    }
}

/// An answer under way.
pub struct Answer {
    under_way: BoxFuture<Response<Body>, Infallible>,
    call: Option<Arc<Call>>,
    deadline: Option<Deadline>,
    /// How long a client may read nothing of a large one; none where somebody else makes another answer of it.
    patience: Option<Duration>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl Answer {
    fn refused(status: &Status) -> Self {
        Self::ready(status.clone().into_http())
    }

    /// What is no call, and known.
    pub(super) fn ready(response: Response<Body>) -> Self {
        Self::later(std::future::ready(response))
    }

    /// What is no call, and under way.
    pub(super) fn later(response: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        Self { under_way: Box::pin(async move { Ok(response.await) }), call: None, deadline: None, patience: None }
    }

    /// The same for a client, which may read nothing for so long.
    fn patient(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }
}

impl Future for Answer {
    type Output = Result<Response<Counted<Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.under_way.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => response,
            Poll::Pending => {
                let Some(deadline) = &mut self.deadline else { return Poll::Pending };
                ready!(deadline.as_mut().poll(cx));
                deadline::exceeded().into_http()
            }
        };
        let too_large = response.extensions().get().and_then(as_etcd_says_too_large);
        let response = too_large.map_or(response, Status::into_http);
        let call = self.call.take();
        if let Some(call) = &call {
            call.answered();
            // An answer without a body has its code in the head.
            call.end_by(response.headers());
        }
        let deadline = self.deadline.take();
        let mut response = response;
        let share = self.patience.and_then(|patience| Some((response.extensions_mut().remove()?, patience)));
        let patient = |body| match share {
            Some((share, patience)) => Body::new(Patient::new(body, share, patience)),
            None => body,
        };
        Poll::Ready(Ok(response.map(|body| Counted::answer(patient(body), call, deadline))))
    }
}

/// A message above the decoder's bound, in the code and words of etcd's gRPC library; clients look for both.
fn as_etcd_says_too_large(status: &Status) -> Option<Status> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    let text = status.message().strip_prefix("Error, decoded message length too large: found ")?;
    let (found, limit) = text.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    Some(Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})")))
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    request.version() == Version::HTTP_2 && content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}
