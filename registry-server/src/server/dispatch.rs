//! From a request's path to the service that answers it: gRPC by service name, the rest to `http`.
//!
//! The generated services are called directly. A router in between costs an allocation and a path match a
//! request, and knows nothing of etcd's texts.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_TYPE;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use registry_proto::etcdserverpb::cluster_server::{Cluster, ClusterServer};
use registry_proto::etcdserverpb::kv_server::{Kv, KvServer};
use registry_proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use registry_proto::etcdserverpb::maintenance_server::{Maintenance, MaintenanceServer};
use registry_proto::etcdserverpb::watch_server::{Watch, WatchServer};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service as _;

use super::config::Config;
use crate::http::Paths;

/// Everything that the client port answers.
#[derive(Debug)]
pub struct Services<K, W, L, C, M> {
    kv: KvServer<K>,
    watch: WatchServer<W>,
    lease: LeaseServer<L>,
    cluster: ClusterServer<C>,
    maintenance: MaintenanceServer<M>,
    health: HealthServer<HealthService>,
    paths: Paths,
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
    /// The plain HTTP paths.
    pub paths: Paths,
}

impl<K: Kv, W: Watch, L: Lease, C: Cluster, M: Maintenance> Services<K, W, L, C, M> {
    /// The services, each reading messages up to `config`'s bound.
    pub fn new(parts: Parts<K, W, L, C, M>, config: &Config) -> Self {
        let limit = config.max_message_bytes();
        let health = HealthService::from_health_reporter(parts.health);
        Self {
            kv: KvServer::new(parts.kv).max_decoding_message_size(limit),
            watch: WatchServer::new(parts.watch).max_decoding_message_size(limit),
            lease: LeaseServer::new(parts.lease).max_decoding_message_size(limit),
            cluster: ClusterServer::new(parts.cluster).max_decoding_message_size(limit),
            maintenance: MaintenanceServer::new(parts.maintenance).max_decoding_message_size(limit),
            health: HealthServer::new(health).max_decoding_message_size(limit),
            paths: parts.paths,
        }
    }

    fn grpc(&self, request: Request<Incoming>) -> Answer {
        let Some((service, _)) = request.uri().path().strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            let path = request.uri().path();
            return Answer::refused(&Status::unimplemented(format!("malformed method name: {path:?}")));
        };
        // A generated service is a counted pointer and a few settings: cloning it is cheap.
        Answer(match service {
            "etcdserverpb.KV" => self.kv.clone().call(request),
            "etcdserverpb.Watch" => self.watch.clone().call(request),
            "etcdserverpb.Lease" => self.lease.clone().call(request),
            "etcdserverpb.Cluster" => self.cluster.clone().call(request),
            "etcdserverpb.Maintenance" => self.maintenance.clone().call(request),
            "grpc.health.v1.Health" => self.health.clone().call(request),
            unknown => return Answer::refused(&Status::unimplemented(format!("unknown service {unknown}"))),
        })
    }
}

impl<K: Kv, W: Watch, L: Lease, C: Cluster, M: Maintenance> Service<Request<Incoming>> for Services<K, W, L, C, M> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        if is_grpc(&request) {
            return self.grpc(request);
        }
        let paths = self.paths.clone();
        Answer(Box::pin(async move { Ok(paths.answer(request.method(), request.uri()).await) }))
    }
}

/// An answer under way.
pub struct Answer(BoxFuture<Response<Body>, Infallible>);

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl Answer {
    fn refused(status: &Status) -> Self {
        let response = status.clone().into_http();
        Self(Box::pin(std::future::ready(Ok(response))))
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(self.0.as_mut().poll(cx));
        let too_large = response.extensions().get().and_then(as_etcd_says_too_large);
        Poll::Ready(Ok(too_large.map_or(response, Status::into_http)))
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
