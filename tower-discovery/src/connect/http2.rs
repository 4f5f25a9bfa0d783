//! One HTTP/2 connection, shared by all requests to an endpoint.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::dial::{DialError, DialSettings, Protocol, dial};
use super::greeting::Greeting;
use super::last_words::LastWords;
use crate::body::RequestBody;
use crate::error::{BoxError, ConnectTimeout, Unsent};
use crate::target::Target;

/// Servers may close connections that are pinged more often.
const SHORTEST_PING_INTERVAL: Duration = Duration::from_secs(5);
/// Room for answers in flight, for one request and for all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// How a connection is made and kept.
#[derive(Debug, Clone)]
pub(super) struct Http2Settings {
    pub(super) dial: DialSettings,
    /// What requests name as their origin, instead of the endpoint's address.
    pub(super) authority: Option<Authority>,
    /// Interval and timeout of pings; none are sent without it.
    pub(super) keep_alive: Option<(Duration, Duration)>,
}

impl Default for Http2Settings {
    fn default() -> Self {
        let keep_alive = Some((Duration::from_secs(10), Duration::from_secs(5)));
        Self { dial: DialSettings::default(), authority: None, keep_alive }
    }
}

/// The sending half; clones share the connection, which ends gracefully with the last of them.
#[derive(Debug, Clone)]
pub(super) struct Http2Connection {
    sender: SendRequest<RequestBody>,
    scheme: Scheme,
    authority: Authority,
}

/// The answer of a connection. A request that was not put on the wire comes back as [`Unsent`].
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

impl Http2Connection {
    /// Dials, starts HTTP/2 and waits for the server's first frame.
    pub(super) async fn open(target: Target, settings: Http2Settings) -> Result<Self, DialError> {
        let limit = settings.dial.timeout;
        timeout(limit, Self::start(target, settings)).await.map_err(|_| ConnectTimeout(limit))?
    }

    async fn start(target: Target, settings: Http2Settings) -> Result<Self, DialError> {
        let (scheme, authority) = origin(&target, settings.authority)?;
        let stream = dial(&target, &settings.dial, Protocol::Http2).await?;
        let (stream, greeted) = Greeting::new(LastWords::new(stream));
        let mut builder = http2::Builder::new(Tracked(target.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        if let Some((interval, patience)) = settings.keep_alive {
            builder
                .keep_alive_interval(interval.max(SHORTEST_PING_INTERVAL))
                .keep_alive_timeout(patience)
                .keep_alive_while_idle(true);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let life = target.liveness().guard();
        let name = target.clone();
        target.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target = %name, %error, "connection failed");
            }
            drop(life);
        });
        greeted.await.map_err(|_| DialError::NoGreeting)?;
        Ok(Self { sender, scheme, authority })
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.sender.poll_ready(cx).map_err(Into::into)
    }

    /// Sends the request to this endpoint, whatever authority it came with.
    pub(super) fn send(&mut self, mut request: Request<RequestBody>) -> Answer {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path make a URI");
        *request.version_mut() = http::Version::HTTP_2;
        let answer = self.sender.try_send_request(request);
        Box::pin(async move { answer.await.map_err(given_back) })
    }
}

/// What requests to the endpoint name as their origin.
fn origin(target: &Target, authority: Option<Authority>) -> Result<(Scheme, Authority), DialError> {
    let endpoint = target.endpoint();
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
    let authority = authority.map_or_else(|| Authority::try_from(endpoint.authority()).map_err(invalid), Ok)?;
    let scheme = Scheme::try_from(endpoint.scheme()).map_err(|_| DialError::Scheme(endpoint.scheme().to_owned()))?;
    Ok((scheme, authority))
}

/// Tells a request that can be sent elsewhere from one whose fate is open.
pub(super) fn given_back(mut error: TrySendError<Request<RequestBody>>) -> BoxError {
    match error.take_message() {
        Some(request) => Box::new(Unsent { request, source: error.into_error().into() }),
        None => error.into_error().into(),
    }
}

/// Runs hyper's tasks among those of the endpoint.
#[derive(Debug, Clone)]
struct Tracked(Target);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
