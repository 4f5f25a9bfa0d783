//! One watch stream, as a client reads it.

use bytes::Bytes;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use registry_proto::mvccpb::Event;
use registry_proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::client::Client;
use crate::wait::within;

/// A watch stream.
#[derive(Debug)]
pub struct Watching {
    requests: mpsc::Sender<WatchRequest>,
    answers: Answers,
}

/// What comes back; a server may open the stream only when it has the first answer.
#[derive(Debug)]
enum Answers {
    Opening(JoinHandle<Result<Streaming<WatchResponse>, Status>>),
    Open(Box<Streaming<WatchResponse>>),
}

/// An event in short: what a suite compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Put, or delete.
    pub is_put: bool,
    /// The key.
    pub key: Bytes,
    /// The new value; empty for a delete.
    pub value: Bytes,
    /// When.
    pub revision: i64,
}

impl From<&Event> for Happened {
    fn from(event: &Event) -> Self {
        let kv = event.kv.as_ref().expect("an event has a key");
        let is_put = event.r#type() == EventType::Put;
        Self { is_put, key: kv.key.clone(), value: kv.value.clone(), revision: kv.mod_revision }
    }
}

impl Happened {
    /// A put.
    #[must_use]
    pub fn put(key: &str, value: &str, revision: i64) -> Self {
        Self { is_put: true, key: key.to_owned().into(), value: value.to_owned().into(), revision }
    }

    /// A delete.
    #[must_use]
    pub fn delete(key: &str, revision: i64) -> Self {
        Self { is_put: false, key: key.to_owned().into(), value: Bytes::new(), revision }
    }
}

impl Watching {
    /// Opens a stream without a watcher, from its first request on.
    #[expect(clippy::unused_async, reason = "it has to be called where tasks can be spawned")]
    pub async fn open(client: &Client) -> Self {
        let (requests, receiver) = mpsc::channel(64);
        let mut watch = client.watch.clone();
        let opening = async move { watch.watch(ReceiverStream::new(receiver)).await.map(Response::into_inner) };
        Self { requests, answers: Answers::Opening(tokio::spawn(opening)) }
    }

    /// Opens a stream with one watcher.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn of(client: &Client, request: WatchCreateRequest) -> Self {
        let mut watching = Self::open(client).await;
        let created = watching.create(request).await;
        assert!(created.created && !created.canceled, "{created:?}");
        watching
    }

    /// Opens a stream with one watcher, on a node that may be gone before it answers.
    ///
    /// # Errors
    /// With which the stream ended, or was refused.
    pub async fn try_of(client: &Client, request: WatchCreateRequest) -> Result<Self, Status> {
        let mut watching = Self::open(client).await;
        watching.send(RequestUnion::CreateRequest(request)).await;
        match watching.try_answer().await? {
            Some(created) if created.created && !created.canceled => Ok(watching),
            other => Err(Status::unknown(format!("not the watcher's creation: {other:?}"))),
        }
    }

    /// Sends a create request and returns the next answer, which is its answer unless events wait.
    pub async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request)).await;
        self.answer().await
    }

    /// Sends a cancel request.
    pub async fn cancel(&self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })).await;
    }

    /// Sends a progress request.
    pub async fn ask_progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    }

    /// Sends any request.
    pub async fn send(&self, request: RequestUnion) {
        self.send_raw(WatchRequest { request_union: Some(request) }).await;
    }

    /// Sends any message, one without a request among them.
    ///
    /// # Panics
    /// When the stream has ended.
    pub async fn send_raw(&self, request: WatchRequest) {
        self.requests.send(request).await.expect("the stream takes requests");
    }

    /// The next answer.
    ///
    /// # Panics
    /// When the stream has ended.
    pub async fn answer(&mut self) -> WatchResponse {
        self.try_answer().await.expect("the stream goes on").expect("the stream goes on")
    }

    /// The next answer, or how the stream ended.
    ///
    /// # Errors
    /// With which the stream ended.
    pub async fn try_answer(&mut self) -> Result<Option<WatchResponse>, Status> {
        within(self.answers.next()).await
    }

    /// The next `count` events of all watchers, whatever answers they come in.
    ///
    /// # Panics
    /// When an answer is none of events, and when the last one brings more events than that.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let answer = self.answer().await;
            assert!(!answer.canceled && !answer.created, "{answer:?}");
            events.extend(answer.events.into_messages().expect("events decode"));
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }

    /// The same in short.
    pub async fn happened(&mut self, count: usize) -> Vec<Happened> {
        self.events(count).await.iter().map(Happened::from).collect()
    }
}

impl Answers {
    async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        if let Self::Opening(opening) = self {
            let answers = opening.await.expect("the task does nothing that panics")?;
            *self = Self::Open(Box::new(answers));
        }
        match self {
            Self::Open(answers) => answers.message().await,
            Self::Opening(_) => unreachable!("it was opened above"),
        }
    }
}
