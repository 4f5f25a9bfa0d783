//! The Watch service: one watch stream of the hub for each gRPC stream.
//!
//! The answers are a hand-written stream that polls the client's requests, the progress timer, the server's
//! shutdown and the hub's state machine in the task of the connection: no task and no channel of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use registry_proto::etcdserverpb::watch_server::Watch;
use registry_proto::etcdserverpb::{WatchRequest, WatchResponse};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Status, Streaming};

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

/// The Watch service over a hub.
pub struct WatchService {
    hub: Arc<Hub>,
    headers: Headers,
    settings: WatchSettings,
    shutdown: CancellationToken,
}

/// The answers to one gRPC stream. Dropping it, as happens when the client goes away, removes its watchers.
pub struct WatchAnswers<R> {
    /// None when the client has sent its last; its watchers stay.
    requests: Option<R>,
    stream: WatchStream,
    progress_timer: Pin<Box<Sleep>>,
    progress_interval: Duration,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
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
    pub fn new(hub: Arc<Hub>, headers: Headers, settings: WatchSettings, shutdown: CancellationToken) -> Self {
        Self { hub, headers, settings, shutdown }
    }

    /// Serves the requests of one client.
    pub fn answers<R>(&self, requests: R) -> WatchAnswers<R> {
        let base = self.settings.progress_interval.max(MIN_PROGRESS_INTERVAL);
        let progress_interval = base + base.mul_f64(fastrand::f64() / 10.0);
        WatchAnswers {
            requests: Some(requests),
            stream: self.hub.open(self.settings.limits.clone(), Arc::clone(&self.headers)),
            progress_timer: Box::pin(tokio::time::sleep(progress_interval)),
            progress_interval,
            shutdown: Box::pin(self.shutdown.clone().cancelled_owned()),
            requests_first: true,
            ended: false,
        }
    }
}

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = WatchAnswers<Streaming<WatchRequest>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(self.answers(request.into_inner())))
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
        self.poll_timer(cx);
        if !self.requests_first
            && let Poll::Ready(answer) = self.stream.poll_answer(cx)
        {
            self.requests_first = true;
            return Poll::Ready(Ok(answer));
        }
        self.requests_first = false;
        let read = self.poll_requests(cx)?;
        let answer = self.stream.poll_answer(cx);
        if answer.is_pending() && read.is_ready() {
            // There are more requests: other tasks of this thread get their turn first.
            cx.waker().wake_by_ref();
        }
        answer.map(Ok)
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
                Poll::Ready(Some(request)) => self.stream.request(request?),
            }
        }
        Ok(Poll::Ready(()))
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
