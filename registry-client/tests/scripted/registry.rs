//! A registry in memory that answers what the test tells it to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use registry_client::simulation::{BoxFuture, Connector, Link, SendError, Spawn};
use registry_client::{Endpoint, Registry, ServiceWatch, Snapshot};
use registry_proto::etcdserverpb::kv_server::{Kv, KvServer};
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::watch_server::{Watch, WatchServer};
use registry_proto::etcdserverpb::*;
use registry_proto::mvccpb::{Event, KeyValue, event::EventType};
use registry_proto::stored::Records;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::{Status, Streaming};
use tower_service::Service;

pub(crate) const RECORD: &str = r#"{"version":1,"endpoints":{"grpc":{"url":"http://10.0.0.7:9000"}}}"#;
/// Of virtual time; more than any schedule of the SDK.
const PATIENCE: Duration = Duration::from_secs(300);

type Answer<T> = oneshot::Sender<Result<T, Status>>;
type Answers = mpsc::Sender<Result<WatchResponse, Status>>;

/// The test's end.
pub(crate) struct Script {
    lists: mpsc::Receiver<List>,
    streams: mpsc::Receiver<OpenStream>,
    pub(crate) registry: Registry,
}

/// One page that is asked for.
pub(crate) struct List {
    pub(crate) request: RangeRequest,
    answer: Answer<RangeResponse>,
}

/// One watch stream that was opened.
pub(crate) struct OpenStream {
    requests: Streaming<WatchRequest>,
    answers: Answers,
    /// Read while something else was looked for.
    early: VecDeque<RequestUnion>,
}

impl Script {
    pub(crate) fn start() -> Self {
        let (list, lists) = mpsc::channel(16);
        let (stream, streams) = mpsc::channel(16);
        let connector = Arc::new(Door(Answering { list, stream: Arc::new(Mutex::new(stream)) }));
        let spawn: Spawn = Arc::new(|task| drop(tokio::spawn(task)));
        let registry = Registry::builder(["http://a:1"]).build_simulated(connector, spawn).unwrap();
        Self { lists, streams, registry }
    }

    pub(crate) async fn list(&mut self) -> List {
        soon("a list", self.lists.recv()).await.unwrap()
    }

    pub(crate) async fn stream(&mut self) -> OpenStream {
        soon("a watch stream", self.streams.recv()).await.unwrap()
    }

    /// Whether nobody asks for a list for a long time.
    pub(crate) async fn no_list(&mut self) -> bool {
        tokio::time::timeout(PATIENCE / 2, self.lists.recv()).await.is_err()
    }

    /// A synced watch of `pay` with these instances at revision 10 of cluster 1, and its stream.
    pub(crate) async fn synced(ids: &[&str]) -> (Self, ServiceWatch, OpenStream, i64) {
        let mut script = Self::start();
        let watch = script.registry.watch("pay").start().unwrap();
        script.list().await.say(page(1, 10, ids, false));
        let mut stream = script.stream().await;
        let create = stream.created(1, 10).await;
        soon("synced", watch.synced()).await.unwrap();
        (script, watch, stream, create.watch_id)
    }
}

impl List {
    pub(crate) fn say(self, answer: Result<RangeResponse, Status>) {
        drop(self.answer.send(answer));
    }
}

impl OpenStream {
    async fn request(&mut self) -> RequestUnion {
        let request = soon("a request", self.requests.next()).await.unwrap().unwrap();
        request.request_union.unwrap()
    }

    pub(crate) async fn create(&mut self) -> WatchCreateRequest {
        loop {
            match self.request().await {
                RequestUnion::CreateRequest(create) => return create,
                other => self.early.push_back(other),
            }
        }
    }

    pub(crate) async fn progress(&mut self) {
        while !matches!(self.request().await, RequestUnion::ProgressRequest(_)) {}
    }

    /// Answers the next create.
    pub(crate) async fn created(&mut self, cluster_id: u64, revision: i64) -> WatchCreateRequest {
        let create = self.create().await;
        let answer = WatchResponse { watch_id: create.watch_id, created: true, ..answer(cluster_id, revision) };
        self.say(answer).await;
        create
    }

    pub(crate) async fn say(&mut self, answer: WatchResponse) {
        self.answers.send(Ok(answer)).await.unwrap();
    }

    pub(crate) async fn events(&mut self, id: i64, events: Vec<Event>, fragment: bool) {
        let revision = events.last().map_or(10, |event| event.kv.as_ref().unwrap().mod_revision);
        let events = Records::Decoded(events);
        self.say(WatchResponse { watch_id: id, events, fragment, ..answer(1, revision) }).await;
    }

    pub(crate) async fn fail(self) {
        self.answers.send(Err(Status::unavailable("gone"))).await.unwrap();
    }
}

fn header(cluster_id: u64, revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id, revision, ..ResponseHeader::default() })
}

pub(crate) fn answer(cluster_id: u64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(cluster_id, revision), ..WatchResponse::default() }
}

/// Each id's key was put at revision 1.
pub(crate) fn page(cluster_id: u64, revision: i64, ids: &[&str], more: bool) -> Result<RangeResponse, Status> {
    let kvs = Records::Decoded(ids.iter().map(|id| kv(id, 1)).collect());
    Ok(RangeResponse { header: header(cluster_id, revision), kvs, more, count: 0 })
}

fn kv(id: &str, revision: i64) -> KeyValue {
    let key = format!("/services/pay/{id}").into();
    KeyValue { key, value: RECORD.into(), create_revision: revision, mod_revision: revision, ..KeyValue::default() }
}

pub(crate) fn put(id: &str, revision: i64) -> Event {
    Event { kv: Some(kv(id, revision)), ..Event::default() }
}

pub(crate) fn delete(id: &str, revision: i64) -> Event {
    let kv = KeyValue { create_revision: 0, value: "".into(), ..kv(id, revision) };
    Event { r#type: EventType::Delete.into(), kv: Some(kv), ..Event::default() }
}

pub(crate) fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances().iter().map(|found| found.id()).collect()
}

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// Waits for a snapshot.
pub(crate) async fn until(watch: &ServiceWatch, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut changes = watch.changes();
    let waiting = async {
        loop {
            let snapshot = changes.next().await.unwrap();
            if wanted(&snapshot) {
                return snapshot;
            }
        }
    };
    soon(what, waiting).await
}

#[derive(Debug)]
struct Door(Answering);

#[derive(Debug, Clone)]
struct Answering {
    list: mpsc::Sender<List>,
    stream: Arc<Mutex<mpsc::Sender<OpenStream>>>,
}

impl std::fmt::Debug for List {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.request.fmt(formatter)
    }
}

impl std::fmt::Debug for OpenStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Stream")
    }
}

impl Connector for Door {
    fn connect(&self, _: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let link: Box<dyn Link> = Box::new(Door(self.0.clone()));
        Box::pin(async { Ok(link) })
    }
}

impl Link for Door {
    fn is_usable(&self) -> bool {
        true
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let service = self.0.clone();
        Box::pin(async move {
            let is_watch = request.uri().path().starts_with("/etcdserverpb.Watch/");
            let answered = if is_watch {
                WatchServer::new(service).call(request).await
            } else {
                KvServer::new(service).call(request).await
            };
            answered.map_err(|never| match never {})
        })
    }
}

#[tonic::async_trait]
impl Watch for Answering {
    type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: tonic::Request<Streaming<WatchRequest>>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let (answers, said) = mpsc::channel(16);
        let stream = OpenStream { requests: request.into_inner(), answers, early: VecDeque::new() };
        self.stream.lock().await.send(stream).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(said))))
    }
}

#[tonic::async_trait]
impl Kv for Answering {
    type RangeStreamStream = tokio_stream::Empty<Result<RangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        _: tonic::Request<RangeRequest>,
    ) -> Result<tonic::Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("range_stream"))
    }

    async fn range(&self, request: tonic::Request<RangeRequest>) -> Result<tonic::Response<RangeResponse>, Status> {
        let (answer, said) = oneshot::channel();
        let list = List { request: request.into_inner(), answer };
        let over = || Status::unavailable("the test is over");
        self.list.send(list).await.map_err(|_| over())?;
        said.await.map_err(|_| over())?.map(tonic::Response::new)
    }

    async fn put(&self, _: tonic::Request<PutRequest>) -> Result<tonic::Response<PutResponse>, Status> {
        Err(Status::unimplemented("put"))
    }

    async fn delete_range(
        &self,
        _: tonic::Request<DeleteRangeRequest>,
    ) -> Result<tonic::Response<DeleteRangeResponse>, Status> {
        Err(Status::unimplemented("delete_range"))
    }

    async fn txn(&self, _: tonic::Request<TxnRequest>) -> Result<tonic::Response<TxnResponse>, Status> {
        Err(Status::unimplemented("txn"))
    }

    async fn compact(
        &self,
        _: tonic::Request<CompactionRequest>,
    ) -> Result<tonic::Response<CompactionResponse>, Status> {
        Err(Status::unimplemented("compact"))
    }
}
