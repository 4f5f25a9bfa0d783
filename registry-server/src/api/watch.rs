//! The Watch service: one watch stream of the hub for each gRPC stream.
//!
//! The answers are a hand-written stream that polls the client's requests, the progress timer, the server's
//! shutdown and the hub's state machine in the task of the connection: no task and no channel of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::watch_server::Watch;
use registry_proto::etcdserverpb::{WatchRequest, WatchResponse};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Status, Streaming};

use super::caller::{Caller, WatchGate};
use super::require_leader::RequireLeader;
use super::status::WireError;
use crate::watch::{Headers, Hub, Limits, WatchStream};

/// A shorter interval is raised to this, as in etcd.
const MIN_PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How many requests are read before answers are looked at.
const REQUESTS_AT_ONCE: usize = 16;

/// The settings of the service.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// Idle watchers with `progress_notify` are told their progress about so often: up to a tenth longer,
    /// different for each stream. At least 100 ms; 10 minutes by default.
    pub progress_interval: Duration,
    /// What one stream may hold.
    pub limits: Limits,
}

/// The Watch service over a hub. Clones are the same one.
#[derive(Clone)]
pub struct WatchService {
    hub: Arc<Hub>,
    headers: Headers,
    settings: WatchSettings,
    leader: Arc<RequireLeader>,
    gate: Arc<dyn WatchGate>,
    shutdown: CancellationToken,
}

/// The answers to one gRPC stream. Dropping it, as happens when the client goes away, removes its watchers.
pub struct WatchAnswers<R> {
    /// None when the client has sent its last; its watchers stay.
    requests: Option<R>,
    stream: WatchStream,
    caller: Caller,
    gate: Arc<dyn WatchGate>,
    progress_timer: Pin<Box<Sleep>>,
    progress_interval: Duration,
    /// While the stream rests.
    rest: Option<Pin<Box<Sleep>>>,
    rest_interval: Duration,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of a client that wants a leader: there is none.
    leaderless: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Requests are read next. Taking turns, neither requests nor events starve the other.
    requests_first: bool,
    ended: bool,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { progress_interval: Duration::from_secs(600), limits: Limits::default() }
    }
}

impl WatchService {
    /// A service whose streams end when `shutdown` is cancelled.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        headers: Headers,
        settings: WatchSettings,
        leader: Arc<RequireLeader>,
        gate: Arc<dyn WatchGate>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { hub, headers, settings, leader, gate, shutdown }
    }

    /// Serves the requests of one client, until `lost` is cancelled, if it is given.
    pub fn answers<R>(&self, caller: Caller, requests: R, lost: Option<CancellationToken>) -> WatchAnswers<R> {
        let base = self.settings.progress_interval.max(MIN_PROGRESS_INTERVAL);
        let progress_interval = base + base.mul_f64(fastrand::f64() / 10.0);
        WatchAnswers {
            requests: Some(requests),
            stream: self.hub.open(self.settings.limits.clone(), Arc::clone(&self.headers)),
            caller,
            gate: Arc::clone(&self.gate),
            progress_timer: Box::pin(tokio::time::sleep(progress_interval)),
            progress_interval,
            rest: None,
            rest_interval: self.settings.limits.rest,
            shutdown: Box::pin(self.shutdown.clone().cancelled_owned()),
            leaderless: lost.map(|lost| Box::pin(lost.cancelled_owned())),
            requests_first: true,
            ended: false,
        }
    }
}

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = WatchAnswers<Streaming<WatchRequest>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        // Authentication may be enabled while the stream is open.
        let caller = Caller::of(&request);
        self.gate.arrive(&caller).await;
        let (metadata, _, requests) = request.into_parts();
        let lost = self.leader.lost(metadata.as_ref());
        Ok(Response::new(self.answers(caller, requests, lost)))
    }
}

impl<R: Stream<Item = Result<WatchRequest, Status>> + Unpin> Stream for WatchAnswers<R> {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let answer = std::task::ready!(this.poll_result(cx));
        this.ended = answer.is_err();
        Poll::Ready(Some(answer))
    }
}

impl<R: Stream<Item = Result<WatchRequest, Status>> + Unpin> WatchAnswers<R> {
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<WatchResponse, Status>> {
        if self.shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Status::unavailable("etcdserver: server stopped")));
        }
        if self.leaderless.as_mut().is_some_and(|lost| lost.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(WireError::NoLeader.into()));
        }
        self.poll_timer(cx);
        if !self.requests_first
            && let Poll::Ready(answer) = self.poll_answer(cx)
        {
            self.requests_first = true;
            return Poll::Ready(Ok(answer));
        }
        self.requests_first = false;
        let read = self.poll_requests(cx)?;
        let answer = self.poll_answer(cx);
        if answer.is_pending() && read.is_ready() {
            // There are more requests: other tasks of this thread get their turn first.
            cx.waker().wake_by_ref();
        }
        answer.map(Ok)
    }

    /// Polls the stream, and once more when its rest is over.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<WatchResponse> {
        loop {
            let answer = self.stream.poll_answer(cx);
            if answer.is_ready() || !self.stream.is_resting() {
                return answer;
            }
            let rest = self.rest.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.rest_interval)));
            std::task::ready!(rest.as_mut().poll(cx));
            self.rest = None;
            self.stream.rested();
        }
    }

    /// Reads some requests, while there is room for their answers; pending when none is left to read.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Status> {
        for _ in 0..REQUESTS_AT_ONCE {
            let Some(requests) = self.requests.as_mut().filter(|_| self.stream.takes_requests()) else {
                return Ok(Poll::Pending);
            };
            match Pin::new(requests).poll_next(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(None) => self.requests = None,
                Poll::Ready(Some(request)) => self.take(request?),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, request: WatchRequest) {
        if let Some(RequestUnion::CreateRequest(create)) = &request.request_union
            && let Err(refusal) = self.gate.check(&self.caller, create)
        {
            return self.stream.refuse(refusal.text());
        }
        self.stream.request(request);
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while self.progress_timer.as_mut().poll(cx).is_ready() {
            self.stream.tick();
            self.progress_timer.as_mut().reset(Instant::now() + self.progress_interval);
        }
    }
}

impl std::fmt::Debug for WatchService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchService").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<R> std::fmt::Debug for WatchAnswers<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchAnswers").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use futures_util::StreamExt;
    use futures_util::future::BoxFuture;
    use registry_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest};
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::mvcc::{Event, EventKind, RevisionEvents};
    use crate::types::Revision;
    use crate::watch::{Compacted, History};

    struct Empty;

    impl History for Empty {
        fn revision(&self) -> Revision {
            Revision::FIRST
        }

        fn events(&self, _: Revision, _: bool, _: usize) -> Result<Vec<RevisionEvents>, Compacted> {
            Ok(Vec::new())
        }
    }

    /// Lets everybody in.
    struct Open;

    impl WatchGate for Open {
        fn arrive<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, ()> {
            Box::pin(std::future::ready(()))
        }

        fn check(&self, _: &Caller, _: &WatchCreateRequest) -> Result<(), WireError> {
            Ok(())
        }
    }

    type Requests = tokio::sync::mpsc::Sender<Result<WatchRequest, Status>>;
    type Answers = WatchAnswers<ReceiverStream<Result<WatchRequest, Status>>>;

    /// A service, a client's sender and the answers it reads.
    fn opened() -> (WatchService, Requests, Answers) {
        let headers = |revision: Revision| ResponseHeader { revision: revision.0, ..ResponseHeader::default() };
        let hub = Hub::new(Arc::new(Empty));
        let leader = Arc::new(RequireLeader::new(|| true));
        let service = WatchService::new(
            hub,
            Arc::new(headers),
            WatchSettings::default(),
            leader,
            Arc::new(Open),
            CancellationToken::new(),
        );
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let answers = service.answers(Caller::default(), ReceiverStream::new(receiver), None);
        (service, sender, answers)
    }

    fn create() -> WatchRequest {
        let key = Bytes::from_static(b"a");
        let create = WatchCreateRequest { key, progress_notify: true, ..WatchCreateRequest::default() };
        WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
    }

    fn put() -> Vec<Event> {
        vec![Event { kind: EventKind::Put, key: Bytes::from_static(b"a"), kv: Bytes::new(), prev_kv: None }]
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_the_stream_with_etcds_error() {
        let (service, requests, mut answers) = opened();
        requests.send(Ok(create())).await.unwrap();
        assert!(answers.next().await.unwrap().unwrap().created);
        let waiting = tokio::spawn(async move { (answers.next().await, answers.next().await) });
        service.shutdown.cancel();
        let (last, after) = waiting.await.unwrap();
        let status = last.unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, "etcdserver: server stopped"));
        assert!(after.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_sent_its_last_still_gets_events() {
        let (service, requests, mut answers) = opened();
        requests.send(Ok(create())).await.unwrap();
        drop(requests);
        assert!(answers.next().await.unwrap().unwrap().created);
        assert!(poll_fn(|cx| Poll::Ready(answers.poll_next_unpin(cx).is_pending())).await);
        service.hub.publish(Revision(2), put);
        assert!(!answers.next().await.unwrap().unwrap().events.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_the_request_stream_ends_the_answers() {
        let (_service, requests, mut answers) = opened();
        requests.send(Err(Status::cancelled("gone"))).await.unwrap();
        assert_eq!(answers.next().await.unwrap().unwrap_err().code(), tonic::Code::Cancelled);
        assert!(answers.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_watchers_hear_of_progress_once_an_interval() {
        let (_service, requests, mut answers) = opened();
        requests.send(Ok(create())).await.unwrap();
        answers.next().await.unwrap().unwrap();
        for _ in 0..3 {
            let before = Instant::now();
            let answer = answers.next().await.unwrap().unwrap();
            assert!(answer.events.is_empty() && answer.watch_id == 0 && !answer.created);
            let waited = before.elapsed();
            assert!((600..661).contains(&waited.as_secs()), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_the_same_moment_hear_of_progress_at_different_times() {
        let (service, ..) = opened();
        let began = Instant::now();
        let told = (0..20).map(|_| {
            let (requests, receiver) = tokio::sync::mpsc::channel(1);
            requests.try_send(Ok(create())).unwrap();
            let mut answers = service.answers(Caller::default(), ReceiverStream::new(receiver), None);
            async move {
                assert!(answers.next().await.unwrap().unwrap().created);
                assert!(answers.next().await.unwrap().unwrap().events.is_empty());
                drop(requests);
                began.elapsed().as_millis()
            }
        });
        let mut told = futures_util::future::join_all(told).await;
        assert!(told.iter().all(|time| (600_000..=660_001).contains(time)), "{told:?}");
        told.sort_unstable();
        told.dedup();
        assert!(told.len() > 10 && told[told.len() - 1] - told[0] > 10_000, "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_that_is_too_short_is_raised() {
        let (mut service, ..) = opened();
        service.settings.progress_interval = Duration::from_millis(1);
        let (requests, receiver) = tokio::sync::mpsc::channel(1);
        requests.try_send(Ok(create())).unwrap();
        let mut answers = service.answers(Caller::default(), ReceiverStream::new(receiver), None);
        answers.next().await.unwrap().unwrap();
        let before = Instant::now();
        answers.next().await.unwrap().unwrap();
        assert!(before.elapsed() >= MIN_PROGRESS_INTERVAL, "{:?}", before.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_requests_does_not_starve_events() {
        let (service, requests, mut answers) = opened();
        requests.send(Ok(create())).await.unwrap();
        answers.next().await.unwrap().unwrap();
        service.hub.publish(Revision(2), put);
        for _ in 0..64 {
            requests.send(Ok(create())).await.unwrap();
        }
        let mut created_before = 0;
        while answers.next().await.unwrap().unwrap().created {
            created_before += 1;
        }
        assert!(created_before <= REQUESTS_AT_ONCE, "{created_before} answers to requests came first");
    }
}
