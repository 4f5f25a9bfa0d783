//! Sending a request again that failed: an optional layer around a channel.
//!
//! The balancer by itself sends again only what no endpoint has looked at. What else may be repeated only its
//! caller knows, so this layer repeats what is idempotent: by its method, or because it was told. `policy`
//! decides, without side effects; `budget` keeps repetitions from making an overload worse; `pushback` reads what
//! a server says about it.
//!
//! What always holds: a request whose repetition was not allowed is sent once; the deadline of a gRPC call
//! covers all its attempts; no more of a body is kept than was allowed.

mod budget;
mod policy;
mod pushback;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use budget::Bucket;
pub use budget::RetryBudget;
use bytes::Bytes;
use futures_util::future::poll_fn;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
pub use policy::Idempotent;
use policy::{Outcome, Policy};
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;

use crate::backoff::Backoff;
use crate::body::RequestBody;
use crate::error::BoxError;
use crate::grpc;

/// How often a call was sent before; servers may tell it from a first attempt.
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Sends requests again that failed, with pauses, within a budget.
///
/// Repeated is what is idempotent: GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and whatever carries [`Idempotent`]
/// in its extensions or satisfies [`idempotent_when`](Self::idempotent_when). A gRPC call is a POST, so none is
/// repeated unless told. A failure is an error of the service, one of [`statuses`](Self::statuses), or one of
/// [`grpc_codes`](Self::grpc_codes) in an answer that has nothing else: once an answer has begun it is the
/// caller's.
///
/// ```
/// use registry_client::{Selector, ServiceWatch};
/// use tower::ServiceBuilder;
/// use tower_discovery::retry::{RetryBudget, RetryLayer};
/// use tower_discovery::{DiscoveryLayer, GrpcConnect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let (watch, _publisher) = ServiceWatch::manual("pay");
/// # let view = watch.select(Selector::endpoint("grpc"));
/// let retries = RetryLayer::new()
///     .attempts(3)
///     .budget(RetryBudget::new(10, 0.2))
///     .idempotent_when(|head| head.uri.path() == "/pay.Pay/Balance");
/// let channel = ServiceBuilder::new()
///     .layer(retries)
///     .layer(DiscoveryLayer::new(view))
///     .service(GrpcConnect::new());
/// // PayClient::new(channel)
/// # let _ = channel;
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is given a service"]
pub struct RetryLayer {
    policy: Policy,
    budget: RetryBudget,
}

/// A service that sends requests again; made by [`RetryLayer`]. Clones share one budget.
#[derive(Debug, Clone)]
pub struct Retry<S> {
    inner: S,
    policy: Arc<Policy>,
    budget: Arc<Bucket>,
}

impl RetryLayer {
    /// Three attempts in all, pauses from 25 ms to 1 s, the default budget, 64 KiB of a body, the statuses 502,
    /// 503 and 504, and gRPC's UNAVAILABLE.
    pub fn new() -> Self {
        Self { policy: Policy::default(), budget: RetryBudget::default() }
    }

    /// How often a request is sent in all, at least once.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.policy.attempts = attempts.max(1);
        self
    }

    /// How many repetitions are allowed beside how many requests.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// The pauses before repetitions. A server that names a pause (`grpc-retry-pushback-ms`, or `retry-after` in
    /// seconds) is obeyed instead.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// How much of a body is kept to be sent again; a longer one is sent once.
    pub fn keep_at_most(mut self, bytes: usize) -> Self {
        self.policy.keep_limit_bytes = bytes;
        self
    }

    /// The statuses that are failures, instead of 502, 503 and 504.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.policy.statuses = statuses.into_iter().collect();
        self
    }

    /// The gRPC codes that are failures, by number, instead of 14, UNAVAILABLE.
    pub fn grpc_codes(mut self, codes: impl IntoIterator<Item = u8>) -> Self {
        self.policy.grpc_codes = codes.into_iter().collect();
        self
    }

    /// Says of further requests that they may be sent twice.
    pub fn idempotent_when(mut self, is_idempotent: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.policy.is_idempotent = Some(policy::Told(Arc::new(is_idempotent)));
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner, policy: Arc::new(self.policy.clone()), budget: Arc::new(self.budget.bucket()) }
    }
}

impl<S, B, R> Service<Request<B>> for Retry<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: std::error::Error + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Dropping the future cancels the request, and the pause before the next attempt.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that was asked whether it is ready is the one that is called.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (head, body) = request.into_parts();
        self.budget.deposit();
        if self.policy.may_repeat(&head) {
            let body = RequestBody::keeping(self.policy.keep_limit_bytes, body);
            return Box::pin(send(inner, head, body, Arc::clone(&self.policy), Arc::clone(&self.budget)));
        }
        Box::pin(inner.call(Request::from_parts(head, RequestBody::keeping(0, body))))
    }
}

/// Attempt after attempt. The first needs no `poll_ready`, as the caller's was for it.
async fn send<S, R>(
    mut inner: S,
    head: Parts,
    mut body: RequestBody,
    policy: Arc<Policy>,
    budget: Arc<Bucket>,
) -> Result<Response<R>, S::Error>
where
    S: Service<Request<RequestBody>, Response = Response<R>>,
    S::Error: std::error::Error + 'static,
{
    let deadline = Deadline::of(&head);
    let replay = body.replay();
    let mut attempt = 1;
    loop {
        let result = inner.call(deadline.request(&head, body, attempt)).await;
        let pause = match policy.judge(Outcome::of(&result), attempt, fastrand::f64()) {
            Some(pause) if deadline.allows(pause) => pause,
            _ => {
                replay.forget();
                return result;
            }
        };
        // An answer that is handed on may still be reading the request, so nothing is cut off before it is sure.
        if !replay.can_repeat() || !budget.withdraw() {
            replay.forget();
            return result;
        }
        let Some(again) = replay.again() else { return result };
        drop(result);
        body = again;
        sleep(pause).await;
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        attempt += 1;
    }
}

/// When a gRPC call must be answered, all attempts together.
struct Deadline {
    is_grpc: bool,
    at: Option<Instant>,
}

impl Deadline {
    fn of(head: &Parts) -> Self {
        let is_grpc = grpc::is_grpc(&head.headers);
        let limit = if is_grpc { grpc::timeout(&head.headers) } else { None };
        Self { is_grpc, at: limit.and_then(|limit| Instant::now().checked_add(limit)) }
    }

    fn allows(&self, pause: Duration) -> bool {
        self.at.is_none_or(|at| Instant::now() + pause < at)
    }

    /// The request of one attempt. A later one has less time, and says that it is one.
    fn request(&self, head: &Parts, body: RequestBody, attempt: u32) -> Request<RequestBody> {
        let mut request = Request::from_parts(head.clone(), body);
        if attempt > 1 && self.is_grpc {
            request.headers_mut().insert(PREVIOUS_ATTEMPTS, HeaderValue::from(attempt - 1));
            if let Some(at) = self.at {
                grpc::set_timeout(request.headers_mut(), at.saturating_duration_since(Instant::now()));
            }
        }
        request
    }
}
