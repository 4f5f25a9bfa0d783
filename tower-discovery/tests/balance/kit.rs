//! A fleet of endpoints that behave as a test says, without a network, and servers on loopback.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use registry_client::{Instance, Publisher, Selector, ServiceWatch, View};
use tokio::sync::Notify;
use tower::Service;
use tower::ServiceExt;
use tower_discovery::{BoxError, Error, RequestBody, ServedBy, Target, Unsent};

/// How an endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behaviour {
    #[default]
    Serve,
    /// Connecting fails.
    Refuse,
    /// Connecting never ends.
    Swallow,
    /// Requests are answered when the fleet is released.
    Hold,
    /// Requests fail at once with a 500.
    Fail,
    /// Requests fail with a 503 when they have been read.
    FailAfterReading,
    /// The connection gives requests back.
    GiveBack,
    /// The connection breaks while it has a request.
    Break,
}

#[derive(Debug, Default)]
struct Node {
    behaviour: Behaviour,
    connects: usize,
    requests: usize,
    /// The last connection made.
    target: Option<Target>,
}

/// Endpoints by instance id; also the connector to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    nodes: Arc<Mutex<HashMap<String, Node>>>,
    release: Arc<Notify>,
}

impl Fleet {
    pub(crate) fn set(&self, id: &str, behaviour: Behaviour) {
        self.nodes.lock().entry(id.to_owned()).or_default().behaviour = behaviour;
    }

    pub(crate) fn connects(&self, id: &str) -> usize {
        self.nodes.lock().get(id).map_or(0, |node| node.connects)
    }

    pub(crate) fn requests(&self, id: &str) -> usize {
        self.nodes.lock().get(id).map_or(0, |node| node.requests)
    }

    /// Ends the connection to an endpoint, as a crash of it does.
    pub(crate) fn cut(&self, id: &str) {
        let target = self.nodes.lock().get(id).and_then(|node| node.target.clone());
        target.expect("it was connected").liveness().end();
    }

    /// Answers what is held.
    pub(crate) fn release(&self) {
        self.release.notify_waiters();
    }
}

impl Service<Target> for Fleet {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let fleet = self.clone();
        Box::pin(async move {
            let behaviour = {
                let mut nodes = fleet.nodes.lock();
                let node = nodes.entry(target.key().id().to_owned()).or_default();
                node.connects += 1;
                node.target = Some(target.clone());
                node.behaviour
            };
            match behaviour {
                Behaviour::Refuse => Err("connection refused".into()),
                Behaviour::Swallow => std::future::pending().await,
                _ => Ok(Connection { fleet, target }),
            }
        })
    }
}

/// A connection to an endpoint of a fleet.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    fleet: Fleet,
    target: Target,
}

impl Service<Request<RequestBody>> for Connection {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.target.liveness().is_over() { Err("closed".into()) } else { Ok(()) })
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let fleet = self.fleet.clone();
        let id = self.target.key().id().to_owned();
        let behaviour = {
            let mut nodes = fleet.nodes.lock();
            let node = nodes.get_mut(&id).expect("it was connected");
            node.requests += 1;
            node.behaviour
        };
        Box::pin(async move {
            match behaviour {
                Behaviour::Hold => fleet.release.notified().await,
                Behaviour::Fail => return Ok(Response::builder().status(500).body(Full::default())?),
                Behaviour::Break => return Err("connection reset".into()),
                Behaviour::GiveBack => {
                    let unsent = Unsent { request, source: "closed meanwhile".into() };
                    return Err(BoxError::from(unsent));
                }
                _ => {}
            }
            let body = request.into_body().collect().await?.to_bytes();
            if behaviour == Behaviour::FailAfterReading {
                return Ok(Response::builder().status(503).body(Full::default())?);
            }
            Ok(Response::new(Full::new(body)))
        })
    }
}

/// An instance of `pay` with the endpoint `rpc`.
pub(crate) fn instance(id: &str, port: u16) -> Instance {
    Instance::builder("pay").id(id).endpoint("rpc", format!("http://127.0.0.1:{port}")).build().unwrap()
}

/// A watch fed by the test, and the view of it.
pub(crate) fn pay() -> (View, Publisher) {
    let (watch, publisher) = ServiceWatch::manual("pay");
    (watch.select(Selector::endpoint("rpc")), publisher)
}

/// Sends a request with a small body and answers the id of the endpoint that served it, and the answer.
pub(crate) async fn ask<S, B>(channel: &S) -> Result<(String, Response<B>), Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Error> + Clone,
{
    let request = Request::post("/ask").body(Full::new(Bytes::from_static(b"question"))).unwrap();
    let response = channel.clone().oneshot(request).await?;
    let served = response.extensions().get::<ServedBy>().expect("every answer says who gave it");
    Ok((served.target().key().id().to_owned(), response))
}

/// Waits until exactly these instances are connected.
pub(crate) async fn connected<S>(channel: &tower_discovery::Balance<S>, ids: &[&str]) {
    let matches = |targets: &[Target]| {
        let mut found: Vec<_> = targets.iter().map(|target| target.key().id().to_owned()).collect();
        found.sort();
        found == ids
    };
    within(channel.wait_until(matches)).await;
}

/// Tasks of this runtime that have not ended.
pub(crate) fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Waits for a condition that nothing announces.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    let poll = Duration::from_millis(1);
    within(async {
        while !condition() {
            tokio::time::sleep(poll).await;
        }
    })
    .await;
}

/// What takes longer than this will not come.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes true in time")
}

/// The infallible service of a loopback server.
pub(crate) type Answer<B> = Result<Response<B>, Infallible>;
