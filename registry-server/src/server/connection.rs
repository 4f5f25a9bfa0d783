//! One connection: secures it where its port asks for that, tells HTTP/1 from HTTP/2 by its first bytes and serves it to
//! its end.
//!
//! gRPC comes as HTTP/2, probes and curl as HTTP/1, on the same port. Whatever the bytes are, the worst
//! that they do is to end their own connection. A stop asks the connection to finish (HTTP/2 by GOAWAY) and
//! then waits for its requests; how long is the worker's business.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::authority::Acceptable;
use super::config::Config;
use super::corked::{Corked, UncorkingConnection};
use super::counted::Counted;
use super::known::Known;
use super::listen::Entrance;
use super::newcomers::{Newcomer, Newcomers};
use super::pings::Watched;
use super::refusals::Refusals;
use super::sockets::AsyncStream;
use super::wakes::Wakes;
use crate::http::gateway::Departure;
use crate::tls::{HandshakeError, PeerCertificate};

/// What an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a TLS client says first.
const TLS_HANDSHAKE: u8 = 22;
/// How long a client may take for its first bytes, and for the head of each HTTP/1 request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The buffer of an HTTP/1 request's head.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
/// All headers of one request together.
const HEADER_LIST_BYTES: u32 = 64 * 1024;
/// What a client may send ahead on one stream: a request fits into it as a rule.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a client may send ahead on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// How many streams may be opened and reset at once before the connection is closed as an attack. Clients
/// that cancel in bursts are no attack, so this stands above HTTP/2's usual 20.
const PENDING_RESETS: usize = 256;

/// What serves requests: gRPC and HTTP alike.
pub trait Serve:
    Service<Request<Incoming>, Response = Response<Counted<Body>>, Error = Infallible, Future: Send> + Send + Sync + 'static
{
}

impl<S> Serve for S where
    S: Service<Request<Incoming>, Response = Response<Counted<Body>>, Error = Infallible, Future: Send>
        + Send
        + Sync
        + 'static
{
}

/// How connections are served; one for all of a worker's.
#[derive(Debug, Clone)]
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    newcomers: Arc<Newcomers>,
    refusals: Arc<Refusals>,
    /// How often a client may ask whether this server is alive.
    ping_min_time: Duration,
    wakes: Arc<Wakes>,
}

impl Protocols {
    pub(super) fn new(config: &Config, newcomers: Arc<Newcomers>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HTTP1_BUFFER_BYTES)
            // A probe that closes its writing side after the request still gets its answer.
            .half_close(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let interval = config.grpc_keepalive_interval;
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.max_concurrent_streams)
            .max_header_list_size(HEADER_LIST_BYTES)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval((!interval.is_zero()).then_some(interval))
            .keep_alive_timeout(config.grpc_keepalive_timeout)
            .auto_date_header(false);
        let wakes = Wakes::new();
        Self { http1, http2, newcomers, refusals: Arc::default(), ping_min_time: config.grpc_keepalive_min_time, wakes }
    }

    /// The wakes of all calls, to be passed on by the worker.
    pub(super) fn wakes(&self) -> Arc<Wakes> {
        self.wakes.clone()
    }

    /// Serves `stream` until it ends, or until it has finished after `stop`.
    pub(super) async fn serve<S: Serve>(
        &self,
        stream: AsyncStream,
        remote: Option<SocketAddr>,
        entrance: Entrance,
        service: Arc<S>,
        stop: CancellationToken,
    ) {
        let newcomer = self.newcomers.enter();
        let tls = match entrance {
            Entrance::Plain => {
                return self
                    .converse((stream, remote), newcomer, Known::plain(service, self.wakes.clone()), stop)
                    .await;
            }
            Entrance::Shut => return,
            Entrance::Tls(tls) => tls,
        };
        let secured = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = newcomer.is_displaced() => return,
            secured = tls.accept(stream, remote.map(|remote| remote.ip())) => secured,
        };
        match secured {
            Ok(stream) => {
                let known = Known::secured(service, self.wakes.clone(), PeerCertificate::of(&stream));
                self.converse((stream, remote), newcomer, known, stop).await;
            }
            Err(error) => self.tell(remote, &error),
        }
    }

    fn tell(&self, remote: Option<SocketAddr>, error: &HandshakeError) {
        // Whoever only looks whether the port is open does just that.
        if matches!(error, HandshakeError::Gone(_)) {
            tracing::debug!(?remote, %error, "a TLS handshake failed");
        } else {
            self.refusals.tell(remote, &error.to_string());
        }
    }

    /// Reads who is there and serves that.
    async fn converse<S: Serve, IO>(
        &self,
        (mut stream, remote): (IO, Option<SocketAddr>),
        newcomer: Newcomer,
        known: Known<S>,
        stop: CancellationToken,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let head = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = newcomer.is_displaced() => return,
            head = tokio::time::timeout(HEAD_TIMEOUT, read_head(&mut stream)) => head,
        };
        // Neither a silent client nor one that went away is worth a line.
        let Ok(Ok(head)) = head else { return };
        drop(newcomer);
        if head.first() == Some(&TLS_HANDSHAKE) {
            return self
                .refusals
                .tell(remote, "it speaks TLS, and this URL has none: connect without, or listen on an https URL");
        }
        let is_http2 = head.starts_with(PREFACE);
        if is_http2 {
            let activity = known.activity().clone();
            let watched = Watched::new(stream, self.ping_min_time, activity.clone());
            let io = Corked::new(Acceptable::new(TokioIo::new(watched), true), head).with_goodbye(activity);
            let cork = io.cork();
            let connection = UncorkingConnection::new(self.http2.serve_connection(io, known), cork);
            finish(connection, stop, http2::Connection::graceful_shutdown).await;
        } else {
            let io = Corked::new(Acceptable::new(TokioIo::new(stream), false), head);
            let cork = io.cork();
            let departure = Departure::default();
            let known = known.with_departure(departure.clone());
            let connection = UncorkingConnection::new(self.http1.serve_connection(io, known), cork);
            let connection = connection.with_departure(departure);
            finish(connection, stop, http1::Connection::graceful_shutdown).await;
        }
    }
}

/// Polls the connection to its end; at `stop` asks it to finish.
async fn finish<C, IO, E>(
    connection: UncorkingConnection<C, IO>,
    stop: CancellationToken,
    ask: fn(std::pin::Pin<&mut C>),
) where
    C: Future<Output = Result<(), E>>,
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = connection.as_mut() => return,
    }
    if let Some(connection) = connection.as_mut().connection() {
        ask(connection);
    }
    connection.await;
}

/// Reads until the bytes are HTTP/2's preface, or differ from it.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut head = Vec::with_capacity(PREFACE.len());
    while head.len() < PREFACE.len() && PREFACE.starts_with(&head) {
        let room = PREFACE.len() - head.len();
        if (&mut *stream).take(room as u64).read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head.into())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    use super::*;

    /// Nobody is to come this far.
    struct Unreached;

    impl Service<Request<Incoming>> for Unreached {
        type Response = Response<Counted<Body>>;
        type Error = Infallible;
        type Future = std::future::Pending<Result<Response<Counted<Body>>, Infallible>>;

        fn call(&self, _request: Request<Incoming>) -> Self::Future {
            panic!("half a request was served");
        }
    }

    fn protocols() -> Protocols {
        Protocols::new(&Config::default(), Newcomers::new(10))
    }

    async fn serve(protocols: &Protocols, stream: TcpStream, stop: CancellationToken) {
        let remote = stream.peer_addr().ok();
        protocols.serve(Either::Left(stream), remote, Entrance::Plain, Arc::new(Unreached), stop).await;
    }

    /// A connection on which the client has said `head` and stays silent.
    async fn serve_silent(head: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(head).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        serve(&protocols(), stream, CancellationToken::new()).await;
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_silent_before_its_request_is_dropped() {
        for head in [b"".as_slice(), b"PRI * HT", b"GET /version HT"] {
            let started = tokio::time::Instant::now();
            serve_silent(head).await;
            assert_eq!(started.elapsed().as_secs(), HEAD_TIMEOUT.as_secs(), "{head:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_http2_client_is_dropped_after_a_keep_alive() {
        let started = tokio::time::Instant::now();
        let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        serve_silent(&[PREFACE.as_slice(), settings].concat()).await;
        let config = Config::default();
        assert!(started.elapsed() >= config.grpc_keepalive_interval);
        assert!(started.elapsed() <= config.grpc_keepalive_interval + 2 * config.grpc_keepalive_timeout);
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_first_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (protocols, stop) = (protocols(), CancellationToken::new());
        let mut serving = pin!(serve(&protocols, stream, stop.clone()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(serving.as_mut().poll(&mut cx), Poll::Pending);
        stop.cancel();
        serving.await;
        drop(client);
    }
}
