//! A client's way to a member: gRPC requests over the simulated network, straight into the member's services.
//!
//! HTTP/2 is not part of it: what the codecs and the services make of a request is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use registry_server::server::MemberServices;
use registry_server::storage::MemVfs;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::network::{Broken, Connection, Network, Site, pipe};
use crate::peers::Ports;
use crate::process::Process;
use crate::runtime::Simulated;

/// The methods that have streams; the others have one message each way.
const STREAMS: [&str; 4] = ["Watch", "LeaseKeepAlive", "RangeStream", "Snapshot"];

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody listens there: nothing happened.
    #[error("connection refused")]
    Refused,
    /// It may have happened.
    #[error("the connection broke")]
    Broken,
}

/// A way from a client to a member. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Channel {
    network: Arc<Network>,
    ports: Arc<Ports>,
    client: u32,
    member: u32,
    connection: Arc<parking_lot::Mutex<Option<Arc<Connection>>>>,
}

impl Channel {
    /// The way from one client to one member.
    #[must_use]
    pub(crate) fn new(network: Arc<Network>, ports: Arc<Ports>, client: u32, member: u32) -> Self {
        Self { network, ports, client, member, connection: Arc::default() }
    }

    fn sites(&self) -> (Site, Site) {
        (Site::Client(self.client), Site::Member(self.member))
    }

    /// The connection that is open, or a new one.
    fn connect(&self) -> Arc<Connection> {
        let mut connection = self.connection.lock();
        match &*connection {
            Some(open) if !open.is_broken() => open.clone(),
            _ => connection.insert(self.network.connect(self.sites().0, self.sites().1)).clone(),
        }
    }

    /// Whether a connection is open that a call can go over.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        self.connection.lock().as_ref().is_some_and(|open| !open.is_broken())
    }

    /// Connects: one message there and one back.
    ///
    /// # Errors
    /// [`CallError`], and nothing happened.
    pub(crate) async fn open(&self) -> Result<(), CallError> {
        let (client, member) = self.sites();
        let connection = self.connect();
        self.network.pass(client, member, &connection).await?;
        self.ports.get(self.member).ok_or(CallError::Refused)?;
        Ok(self.network.pass(member, client, &connection).await?)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn send(self, request: Request<Body>) -> Result<Response<Body>, CallError> {
        let (client, member) = self.sites();
        let connection = self.connect();
        self.network.pass(client, member, &connection).await?;
        let port = self.ports.get(self.member).ok_or(CallError::Refused)?;
        let services = port.services.lock().clone().ok_or(CallError::Refused)?;
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let streams = STREAMS.contains(&method);
        let request = if streams { request.map(|body| self.piped(body, &connection, client, member)) } else { request };
        let (done, answer) = oneshot::channel();
        let this = self.clone();
        let held = connection.clone();
        drop(port.process.spawn(async move { this.serve(&services, request, streams, &held, done).await }));
        let answer = connection.hold(answer).await?.map_err(|_| CallError::Broken)?;
        self.network.pass(member, client, &connection).await?;
        Ok(answer)
    }

    /// Runs in the member's process. A client that goes away before it has an answer ends the call.
    async fn serve(
        self,
        services: &MemberServices<Simulated, MemVfs>,
        request: Request<Body>,
        streams: bool,
        connection: &Arc<Connection>,
        mut done: oneshot::Sender<Response<Body>>,
    ) {
        let answered = {
            let gone = std::pin::pin!(done.closed());
            match select(services.grpc(request), gone).await {
                Either::Left((Ok(response), _)) => Some(response),
                Either::Right(_) => None,
            }
        };
        let Some(response) = answered else { return };
        let (parts, body) = response.into_parts();
        if !streams {
            drop(done.send(Response::from_parts(parts, Body::new(body))));
            return;
        }
        let (client, member) = self.sites();
        let (inlet, outlet) = pipe(&self.network, connection, member, client);
        if done.send(Response::from_parts(parts, whole(outlet))).is_ok() {
            inlet.carry(BodyStream::new(body)).await;
        }
    }

    /// A body that is sent in a task of the client.
    fn piped(&self, body: Body, connection: &Arc<Connection>, from: Site, to: Site) -> Body {
        let (inlet, outlet) = pipe(&self.network, connection, from, to);
        drop(Process::spawn_here(inlet.carry(BodyStream::new(body))));
        whole(outlet)
    }
}

/// A body of what arrives, which ends in an error when the connection breaks.
fn whole(frames: impl Stream<Item = Result<Result<Frame<Bytes>, Status>, Broken>> + Send + 'static) -> Body {
    let frames = frames.map(|frame| frame.map_err(|_| Status::unavailable("the connection broke"))?);
    Body::new(StreamBody::new(frames))
}

impl From<Broken> for CallError {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("client", &self.client).field("member", &self.member).finish_non_exhaustive()
    }
}
