//! Services that are called rarely, found by name and called through a pointer: the frequent ones are fields of
//! `dispatch`.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use registry_proto::etcdserverpb::auth_server::AuthServer;
use registry_proto::v3electionpb::election_server::ElectionServer;
use registry_proto::v3lockpb::lock_server::LockServer;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tower_service::Service;

use super::config::Config;
use super::reflection;
use crate::api::{AuthService, ElectionService, LockService, Sessions, SharedBackend};
use crate::storage::Vfs;
use crate::types::Runtime;

/// A service of any kind. A generated one is cloned for each call: it is a counted pointer and a few settings.
pub(super) trait Route: Send + Sync {
    fn call(&self, request: Request<Body>) -> BoxFuture<Response<Body>, Infallible>;
}

type Under = BoxFuture<Response<Body>, Infallible>;

impl<S> Route for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Under> + Clone + Send + Sync,
{
    fn call(&self, request: Request<Body>) -> Under {
        Service::call(&mut self.clone(), request)
    }
}

/// The rare services of a client port.
#[derive(Clone, Default)]
pub struct Others(Vec<(&'static str, Arc<dyn Route>)>);

impl Others {
    /// All that a member has, each reading messages up to `config`'s bound. Streams of requests end when `stop` is cancelled.
    pub fn new<R: Runtime, V: Vfs>(
        backend: &SharedBackend<R, V>,
        sessions: &Arc<Sessions<R, V>>,
        config: &Config,
        stop: &CancellationToken,
    ) -> Self {
        let limit = config.max_message_bytes();
        Self::default()
            .with(AuthServer::new(AuthService::new(backend.clone())).max_decoding_message_size(limit))
            .with(LockServer::new(LockService::new(sessions.clone())).max_decoding_message_size(limit))
            .with(ElectionServer::new(ElectionService::new(sessions.clone())).max_decoding_message_size(limit))
            .and(reflection::services(stop))
    }

    /// Adds a generated service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Under>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.0.push((S::NAME, Arc::new(service)));
        self
    }

    fn and(mut self, routes: impl IntoIterator<Item = (&'static str, Arc<dyn Route>)>) -> Self {
        self.0.extend(routes);
        self
    }

    /// The service of this name, if it is one of these.
    pub(super) fn find(&self, service: &str) -> Option<&dyn Route> {
        self.0.iter().find(|(name, _)| *name == service).map(|(_, route)| &**route)
    }
}

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
