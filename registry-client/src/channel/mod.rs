//! The way to the registry: one HTTP/2 connection at a time, to whichever endpoint answers.
//!
//! [`Channel`] is what the generated stubs call. It connects when a call needs it, takes the endpoints in
//! turn, waits with growing, jittered pauses when none answers, and leaves a connection that
//! [`Channel::condemn`] names. `failure` turns an answer's status into what the SDK does about it. Calls are
//! never repeated here, but for those that were refused for their token, once: `token` gets another from the
//! [`Credentials`], `refusal` knows the words of refusals, `inspected` looks for them at the end of streams.
//! `members` adds endpoints that the registry names. A [`Connector`] opens the connections: `http2` in production, with
//! `tls` where the feature is on; with the feature `etcd-client` there is `handed_over`, a client of that crate in the place
//! of connections.

mod connection;
#[cfg_attr(not(feature = "simulation"), expect(unreachable_pub, reason = "public in a simulation"))]
mod connector;
mod credentials;
mod failure;
#[cfg(feature = "etcd-client")]
mod handed_over;
mod http2;
mod inspected;
mod members;
mod refusal;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod token;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use connection::Connection;
#[cfg(not(feature = "simulation"))]
use connector::Connector;
#[cfg(feature = "simulation")]
pub use connector::{BoxFuture, Connector, Link, SendError};
pub(crate) use credentials::Credentials;
pub(crate) use failure::{Failure, failure};
#[cfg(feature = "etcd-client")]
pub(crate) use handed_over::HandedOver;
use http::{Extensions, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
pub(crate) use http2::Http2;
#[cfg(feature = "health")]
pub(crate) use http2::chain;
use inspected::Inspected;
pub(crate) use refusal::refuses_token;
#[cfg(feature = "tls")]
pub use tls::TlsConfig;
use token::{TokenNumber, Tokens};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

use crate::backoff::Delays;
use crate::error::Error;
use crate::instance::Endpoint;

/// A call that has no answer by then is given up; its outcome is unknown.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A stream that has not begun by then will not.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(4);
/// A call that has no connection by then was not sent, which says more than that it was given up. It is
/// shorter than the limits above.
const DIAL_LIMIT: Duration = Duration::from_millis(2_500);
/// Calls whose requests have no end, so that they cannot be sent twice.
const STREAMS: [&str; 2] = ["/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"];

/// Why a call did not get an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ChannelError {
    /// It was never put on the wire.
    #[error("no endpoint of the registry can be reached: {0}")]
    NotSent(String),
    /// The connection broke; the registry may have carried the call out.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, String),
    /// There is no token for it, so that it was not sent.
    #[error(transparent)]
    NotLoggedIn(Error),
    /// It was not carried out, as its token is no good; the next one carries another.
    #[error("the registry refused the token: {0}")]
    TokenRefused(String),
}

/// The failover channel. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connector: Arc<dyn Connector>,
    /// As they were configured.
    endpoints: Vec<Endpoint>,
    follow_members: bool,
    /// Told of each new connection.
    connected: Notify,
    dial: Mutex<Dial>,
    /// Only with credentials do calls carry a token.
    login: Option<Login>,
}

#[derive(Debug)]
struct Login {
    credentials: Credentials,
    tokens: Tokens,
}

/// What whoever connects needs; calls that need a connection wait in turn for it.
#[derive(Debug)]
struct Dial {
    current: Option<Connection>,
    /// Endpoints beside the configured ones, or the name of the client that was handed over.
    learnt: Vec<Endpoint>,
    /// The endpoint to try next.
    next: usize,
    delays: Delays,
    not_before: Instant,
}

impl Channel {
    /// Over whatever the connector opens. Endpoints must not be empty; they are tried in turn, from a random one on.
    pub(crate) fn over(
        connector: Arc<dyn Connector>,
        endpoints: Vec<Endpoint>,
        credentials: Option<Credentials>,
        follow_members: bool,
    ) -> Self {
        Self::new(connector, endpoints, Vec::new(), credentials, follow_members)
    }

    /// Over a client of the crate `etcd-client`, which has endpoints and credentials of its own.
    #[cfg(feature = "etcd-client")]
    pub(crate) fn handed_over(client: HandedOver) -> Self {
        let credentials = Some(Credentials::HandedOver(client.clone()));
        let name = Endpoint::parse(handed_over::NAME).expect("it is written as an endpoint");
        Self::new(Arc::new(client), Vec::new(), vec![name], credentials, false)
    }

    fn new(
        connector: Arc<dyn Connector>,
        endpoints: Vec<Endpoint>,
        learnt: Vec<Endpoint>,
        credentials: Option<Credentials>,
        follow_members: bool,
    ) -> Self {
        let next = fastrand::usize(..endpoints.len().max(1));
        let dial = Dial { current: None, learnt, next, delays: Delays::random(), not_before: now() };
        let login = credentials.map(|credentials| Login { credentials, tokens: Tokens::new() });
        let (connected, dial) = (Notify::new(), Mutex::new(dial));
        Self { shared: Arc::new(Shared { connector, endpoints, follow_members, connected, dial, login }) }
    }

    /// What has to run on the SDK's thread for calls to have a token, if they are to have one.
    pub(crate) fn log_in(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let login = self.shared.login.as_ref()?;
        Some(token::provide(login.tokens.clone(), login.credentials.clone(), self.clone()))
    }

    /// What has to run on the SDK's thread for members to be looked up, if they are to be.
    pub(crate) fn follow_members(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.shared.follow_members.then(|| members::follow(self.clone()))
    }

    /// Which token a call carried, from the extensions of its answer.
    pub(crate) fn token_of(answer: &Extensions) -> Option<u64> {
        answer.get::<TokenNumber>().map(|number| number.0)
    }

    /// A stream that was opened with this token should be opened anew, with the one that counts now.
    pub(crate) fn is_outdated(&self, token: Option<u64>) -> bool {
        let tokens = self.shared.login.as_ref().map(|login| &login.tokens);
        tokens.zip(token).is_some_and(|(tokens, number)| tokens.is_replaced(number))
    }

    /// A stream was told that its token is no good. Says whether another one may be had.
    pub(crate) fn refuse_token(&self, token: Option<u64>) -> bool {
        let tokens = self.shared.login.as_ref().map(|login| &login.tokens);
        tokens.zip(token).inspect(|(tokens, number)| tokens.refuse(*number)).is_some()
    }

    /// The endpoints, in the order in which they were given; none of a client that was handed over.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.shared.endpoints
    }

    /// Leaves the connection that a call of that time went over to the calls that are still on it: new ones
    /// take the next endpoint. A connection that was made since is not to blame.
    pub(crate) fn condemn(&self, called_at: Instant) {
        // A dial in progress holds the lock: the old connection has been left already.
        if let Ok(mut dial) = self.shared.dial.try_lock() {
            dial.current.take_if(|current| current.opened_at <= called_at);
        }
    }

    /// Dropping it midway loses nothing: the next call goes on with the next endpoint.
    async fn connection(&self) -> Result<Connection, ChannelError> {
        let mut dial = self.shared.dial.lock().await;
        if let Some(connection) = dial.current.as_ref().filter(|current| current.is_usable()) {
            return Ok(connection.clone());
        }
        dial.current = None;
        tokio::time::sleep_until(dial.not_before).await;
        let mut last = String::from("no endpoint is configured");
        let endpoints: Vec<_> = self.shared.endpoints.iter().chain(&dial.learnt).cloned().collect();
        for _ in 0..endpoints.len() {
            let endpoint = &endpoints[dial.next % endpoints.len()];
            dial.next = dial.next.wrapping_add(1);
            match Connection::open(&*self.shared.connector, endpoint).await {
                Ok(connection) => {
                    dial.delays = Delays::random();
                    dial.current = Some(connection.clone());
                    self.shared.connected.notify_one();
                    // An endpoint that accepts and breaks at once must not be dialled in a circle.
                    dial.not_before = now() + dial.delays.next();
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%endpoint, %error, "the endpoint cannot be reached");
                    last = format!("{endpoint}: {error}");
                }
            }
        }
        dial.not_before = now() + dial.delays.next();
        Err(ChannelError::NotSent(last))
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        let ready_by = now() + DIAL_LIMIT;
        let Some(login) = &self.shared.login else { return self.carry(request, ready_by).await };
        if STREAMS.contains(&request.uri().path()) {
            return self.send_with(&login.tokens, request, ready_by).await;
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| ChannelError::NotSent(error.to_string()))?.to_bytes();
        let request = || Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
        match self.send_with(&login.tokens, request(), ready_by).await {
            Err(ChannelError::TokenRefused(_)) => self.send_with(&login.tokens, request(), ready_by).await,
            answer => answer,
        }
    }

    /// Sends a call with the token, and sees to it that one which is refused is not used again.
    async fn send_with(
        &self,
        tokens: &Tokens,
        mut request: Request<Body>,
        ready_by: Instant,
    ) -> Result<Response<Body>, ChannelError> {
        let token = tokio::time::timeout_at(ready_by, tokens.current()).await;
        let token = token.map_err(|_| ChannelError::NotSent("still waiting for a token".to_owned()))??;
        if let Some(value) = token.value {
            request.headers_mut().insert("token", value);
        }
        let connection = self.connection_by(ready_by).await?;
        let unanswered = tokens.send_on(token.number, connection.opened_at);
        let answer = connection.send(request).await;
        let refusal = answer.as_ref().ok().and_then(|answer| refusal::token_refusal(answer.headers()));
        unanswered.answered(answer.is_ok() && refusal.is_none());
        if let Some(message) = refusal {
            tokens.refuse(token.number);
            return Err(ChannelError::TokenRefused(message));
        }
        let mut answer = answer?;
        answer.extensions_mut().insert(TokenNumber(token.number));
        Ok(answer.map(|body| Body::new(Inspected::new(body, tokens.clone(), token.number))))
    }

    /// Sends a call as it is, if there is a connection in time.
    async fn carry(&self, request: Request<Body>, ready_by: Instant) -> Result<Response<Body>, ChannelError> {
        self.connection_by(ready_by).await?.send(request).await
    }

    async fn connection_by(&self, ready_by: Instant) -> Result<Connection, ChannelError> {
        let dialled = tokio::time::timeout_at(ready_by, self.connection()).await;
        dialled.map_err(|_| ChannelError::NotSent("still connecting".to_owned()))?
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        require_leader(&mut request);
        Box::pin(self.clone().send(request))
    }
}

/// The channel for the call that asks for a token, and so carries none.
#[derive(Debug, Clone)]
struct Untokened(Channel);

impl Service<Request<Body>> for Untokened {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        require_leader(&mut request);
        let channel = self.0.clone();
        Box::pin(async move { channel.carry(request, now() + DIAL_LIMIT).await })
    }
}

/// A member without a leader must refuse, not answer from what it remembers.
fn require_leader(request: &mut Request<Body>) {
    request.headers_mut().insert("hasleader", HeaderValue::from_static("true"));
}

/// The stubs give the path only.
fn with_origin(path: &Uri, endpoint: &Endpoint) -> Result<Uri, http::Error> {
    let path = path.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme(endpoint.scheme()).authority(endpoint.authority()).path_and_query(path).build()
}

fn now() -> Instant {
    Instant::now()
}
