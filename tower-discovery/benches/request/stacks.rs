//! The balancers that are compared, each over the same number of the same connections.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use registry_client::{Instance, Selector, ServiceWatch};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::{Change, Discover};
use tower::load::{CompleteOnResponse, Load, PeakEwma};
use tower::util::BoxService;
use tower::{Service, ServiceExt};
use tower_discovery::{BoxError, DiscoveryLayer};
use tower_layer::Layer;

use crate::memory::{Memory, Question};

/// As many requests wait at most in the queue of a buffer; tonic's own figure.
const BUFFER: usize = 1024;

/// This crate's layer, with every endpoint connected.
pub(crate) async fn discovery(size: usize) -> tower_discovery::Balance<Memory> {
    let (watch, mut publisher) = ServiceWatch::manual("pay");
    let instance = |port: usize| {
        let builder = Instance::builder("pay").id(format!("{port:05}"));
        builder.endpoint("grpc", format!("http://127.0.0.1:{port}")).build().unwrap()
    };
    publisher.replace((1..=size).map(instance));
    let channel = DiscoveryLayer::new(watch.select(Selector::endpoint("grpc"))).layer(Memory);
    channel.wait_until(|targets| targets.len() == size).await;
    channel
}

/// `n` services under the keys 0 to n - 1, then nothing more, ever.
fn fixed<S>(size: usize, mut make: impl FnMut() -> S + Unpin + Send + 'static) -> Fixed<S>
where
    S: Send + 'static,
{
    let inserts = stream::iter(0..size).map(move |key| Ok::<_, Infallible>(Change::Insert(key, make())));
    inserts.chain(stream::pending()).boxed()
}

type Fixed<S> = stream::BoxStream<'static, Result<Change<usize, S>, Infallible>>;
type Weighed = PeakEwma<Memory>;

fn weighed() -> Weighed {
    PeakEwma::new(Memory, Duration::from_millis(1), 1e10, CompleteOnResponse::default())
}

/// tower's balancer by itself: not `Clone`, so for one task only.
pub(crate) fn raw(size: usize) -> Balance<Fixed<Weighed>, Question> {
    is_discover(Balance::new(fixed(size, weighed)))
}

fn is_discover<D: Discover, R>(balance: Balance<D, R>) -> Balance<D, R>
where
    D::Key: std::hash::Hash,
    D::Service: Service<R>,
    <D::Service as Service<R>>::Error: Into<BoxError>,
{
    balance
}

type Buffered = Buffer<Question, <Balance<Fixed<Weighed>, Question> as Service<Question>>::Future>;

/// tower's balancer behind tower's buffer, which makes it `Clone`.
pub(crate) fn buffered(size: usize) -> Buffered {
    Buffer::new(raw(size), BUFFER)
}

type BoxBody = UnsyncBoxBody<Bytes, BoxError>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection as tonic holds one: boxed, with bodies boxed on both ways, and a load that is always 0.
struct Boxed(BoxService<Request<BoxBody>, Response<BoxBody>, BoxError>);

impl Boxed {
    fn new() -> Self {
        let answer = |response: Response<Full<Bytes>>| response.map(boxed);
        Self(BoxService::new(ServiceExt::<Request<BoxBody>>::map_response(Memory, answer)))
    }
}

fn boxed(body: Full<Bytes>) -> BoxBody {
    body.map_err(BoxError::from).boxed_unsync()
}

impl Load for Boxed {
    type Metric = usize;

    fn load(&self) -> usize {
        0
    }
}

impl Service<Request<BoxBody>> for Boxed {
    type Response = Response<BoxBody>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Response<BoxBody>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<BoxBody>) -> Self::Future {
        self.0.call(request)
    }
}

/// The stack of tonic's `Channel::balance_channel`, which takes no connections but its own: a balancer over boxed
/// connections, boxed, behind a buffer. Left out are the layers that tonic has around each connection.
#[derive(Clone)]
pub(crate) struct AsBalanceChannel(Buffer<Request<BoxBody>, BoxFuture<Result<Response<BoxBody>, BoxError>>>);

pub(crate) fn as_balance_channel(size: usize) -> AsBalanceChannel {
    AsBalanceChannel(Buffer::new(BoxService::new(Balance::new(fixed(size, Boxed::new))), BUFFER))
}

impl Service<Question> for AsBalanceChannel {
    type Response = Response<BoxBody>;
    type Error = BoxError;
    type Future = tower::buffer::future::ResponseFuture<BoxFuture<Result<Response<BoxBody>, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Question) -> Self::Future {
        self.0.call(request.map(boxed))
    }
}
