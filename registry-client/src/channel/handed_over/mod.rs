//! A client of the crate `etcd-client` in the place of connections of our own.
//!
//! That crate shows no channel on which other stubs could call, so [`HandedOver`] is the other side of ours: it takes
//! the requests of the SDK's stubs as a server would, makes the typed call of the client out of each (`calls`, `streams`),
//! and writes the client's message into the answer as it is. Nothing above the channel knows of it. Every failure is a
//! status in the answer, as a server's would be, so that the channel looks for refused tokens where it always does; only
//! what was not sent, for want of a connection, is said as such.
//!
//! The client has the user and the token; when a token is refused, the channel has the client log in again.

mod calls;
mod streams;

use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use etcd_client::Client;
use http::{Request, Response};
use registry_proto::codec::SizedCodec;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{ConnectError, Status, Streaming};

use super::connector::{BoxFuture, Connector, Link, SendError};
use super::failure::failure;
use super::refusal::{is_not_enabled, refuses_password, wants_user};
use crate::error::Error;
use crate::instance::Endpoint;

/// What stands for the client where an endpoint is named, as in logs; nobody dials it.
pub(super) const NAME: &str = "etcd-client://handed-over:1";
/// The largest answer that the client is to take; the SDK's own limits are no higher.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;

/// Answers to a stream of requests.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A client that somebody else made and may go on using. It is a connection that is always there.
#[derive(Clone)]
pub(crate) struct HandedOver(Arc<Client>);

impl HandedOver {
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(client))
    }

    /// Has the client get another token, if it has a user; there is none for calls to carry, as the client adds its own.
    pub(super) async fn log_in(&self) -> Result<Option<String>, Error> {
        let Err(error) = self.0.refresh_token().await else { return Ok(None) };
        let status = status(error);
        if is_not_enabled(&status) {
            return Ok(None);
        }
        if refuses_password(&status) {
            let message = format!(
                "{}: correct the user of the etcd client that was handed over, with update_user",
                status.message()
            );
            return Err(Error::Refused { code: format!("{:?}", status.code()), message });
        }
        Err(failure(&status).error)
    }
}

/// The client knows a password.
impl fmt::Debug for HandedOver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HandedOver").finish_non_exhaustive()
    }
}

impl Connector for HandedOver {
    fn connect(&self, _: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let link: Box<dyn Link> = Box::new(self.clone());
        Box::pin(async { Ok(link) })
    }
}

impl Link for HandedOver {
    fn is_usable(&self) -> bool {
        true
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = answer(client, request).await;
            // tonic leaves the status beside the headers that it makes of it, with its cause.
            let status = answer.extensions().get::<Status>();
            match status.filter(|status| is_not_sent(status)) {
                Some(status) => Err(SendError::NotSent(status.message().to_owned())),
                None => Ok(answer),
            }
        })
    }
}

/// All calls that the SDK makes.
async fn answer(client: Arc<Client>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/etcdserverpb.KV/Range" => unary(client, calls::range, request).await,
        "/etcdserverpb.KV/DeleteRange" => unary(client, calls::delete_range, request).await,
        "/etcdserverpb.KV/Txn" => unary(client, calls::txn, request).await,
        "/etcdserverpb.Lease/LeaseGrant" => unary(client, calls::lease_grant, request).await,
        "/etcdserverpb.Lease/LeaseRevoke" => unary(client, calls::lease_revoke, request).await,
        "/etcdserverpb.Lease/LeaseTimeToLive" => unary(client, calls::lease_time_to_live, request).await,
        "/etcdserverpb.Lease/LeaseKeepAlive" => streaming(client, streams::keep_alive, request).await,
        "/etcdserverpb.Watch/Watch" => streaming(client, streams::watch, request).await,
        path => Status::unimplemented(format!("{path} is not called over an etcd client")).into_http(),
    }
}

/// One call of the client, in the form in which tonic serves it.
struct Call<F> {
    client: Arc<Client>,
    call: F,
}

async fn unary<R, T, F, A>(client: Arc<Client>, call: F, request: Request<Body>) -> Response<Body>
where
    SizedCodec<T, R>: Codec<Encode = T, Decode = R> + Default,
    T: 'static,
    F: Fn(Arc<Client>, R) -> A,
    A: Future<Output = Result<T, Status>> + Send + 'static,
{
    Grpc::new(SizedCodec::<T, R>::default()).unary(Call { client, call }, request).await
}

async fn streaming<R, T, F, A>(client: Arc<Client>, call: F, request: Request<Body>) -> Response<Body>
where
    SizedCodec<T, R>: Codec<Encode = T, Decode = R> + Default,
    T: 'static,
    F: Fn(Arc<Client>, Streaming<R>) -> A + Send,
    A: Future<Output = Result<Answers<T>, Status>> + Send + 'static,
{
    Grpc::new(SizedCodec::<T, R>::default()).streaming(Call { client, call }, request).await
}

impl<R, T, F, A> UnaryService<R> for Call<F>
where
    F: Fn(Arc<Client>, R) -> A,
    A: Future<Output = Result<T, Status>> + Send + 'static,
{
    type Response = T;
    type Future = BoxFuture<Result<tonic::Response<T>, Status>>;

    fn call(&mut self, request: tonic::Request<R>) -> Self::Future {
        let called = (self.call)(Arc::clone(&self.client), request.into_inner());
        Box::pin(async { called.await.map(tonic::Response::new) })
    }
}

impl<R, T, F, A> StreamingService<R> for Call<F>
where
    F: Fn(Arc<Client>, Streaming<R>) -> A,
    A: Future<Output = Result<Answers<T>, Status>> + Send + 'static,
{
    type Response = T;
    type ResponseStream = Answers<T>;
    type Future = BoxFuture<Result<tonic::Response<Answers<T>>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<R>>) -> Self::Future {
        let called = (self.call)(Arc::clone(&self.client), request.into_inner());
        Box::pin(async { called.await.map(tonic::Response::new) })
    }
}

/// The status for a call that failed.
fn status(error: etcd_client::Error) -> Status {
    match error {
        // The client has no user. Another token would not help, and what the client may do to mend it is its owner's.
        etcd_client::Error::GRpcStatus(status) if wants_user(&status) => {
            Status::permission_denied("the registry asks who calls: give the etcd client that was handed over a user")
        }
        etcd_client::Error::GRpcStatus(status) => status,
        other => Status::unavailable(other.to_string()),
    }
}

/// There was no connection to send on.
fn is_not_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
