//! Peers over gRPC, the asking side: one HTTP/2 connection for each link, made when it is needed and made anew when it
//! was lost.
//!
//! What matters to the callers is whether a message left at all: one that did not may be sent again elsewhere.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use futures_util::stream::StreamExt;
use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use registry_proto::peer::Message;
use registry_proto::peer::peer_client::PeerClient;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tower_service::Service;

use super::messages::Description;
use super::peer_service::{CLUSTER, FROM, MISMATCH, REFUSED, REMOVED, TO};
use super::transport::{Answers, Call, Directory, Link, LinkError, Messages, Transport};
use super::types::PeerNode;
use crate::tls::Connector;
use crate::types::{ClusterId, MemberId};

/// For one attempt at one of a peer's URLs.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// What a peer may send ahead on one stream, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Reaches peers over gRPC. Needs a tokio runtime.
#[derive(Clone)]
pub struct GrpcTransport {
    /// Where peers are, as far as that has changed.
    pub directory: Arc<dyn Directory>,
    /// Cancelled when a peer says that this member was removed.
    pub removed: CancellationToken,
    /// The cluster that this member and its peers are of.
    pub cluster: ClusterId,
    /// This member.
    pub member: MemberId,
    /// A peer whose connection is silent is asked for a sign of life after this long, and given up after as long again.
    pub silence: Duration,
    /// A larger message is refused.
    pub max_message_bytes: usize,
    /// Secures connections to peers whose URLs are https; without it these are not connected to.
    pub tls: Option<Connector>,
    /// What the log says of peers already.
    pub told: Told,
}

/// What was told of peers in the log, by all links to them: openraft makes new ones for each election and each leadership.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<Troubles>>);

#[derive(Debug, Default)]
struct Troubles {
    /// Who could not be reached at the last attempt.
    unreached: BTreeSet<MemberId>,
    /// Who has said that another cluster or member is meant.
    mismatched: BTreeSet<MemberId>,
}

impl Transport for GrpcTransport {
    fn link(&self, to: MemberId, node: &PeerNode) -> Arc<dyn Link> {
        let state = Mutex::new(State::Idle);
        let (transport, peer_urls) = (self.clone(), node.peer_urls.clone());
        Arc::new(GrpcLink(Arc::new(Shares { transport, to, peer_urls, state })))
    }
}

/// A way to one peer.
struct GrpcLink(Arc<Shares>);

struct Shares {
    transport: GrpcTransport,
    to: MemberId,
    /// Where it is unless the directory knows better.
    peer_urls: Vec<String>,
    state: Mutex<State>,
}

type Connecting = Shared<BoxFuture<'static, Result<Connection, String>>>;

enum State {
    Idle,
    /// All who want to send wait for the same attempt. It goes on when those who began it have given up.
    Connecting(Connecting),
    Open(Connection),
}

impl Shares {
    /// A connection on which a message can be sent now.
    async fn connection(&self) -> Result<Connection, LinkError> {
        // A connection that was lost shows itself when it is asked for; one new attempt follows.
        for _ in 0..2 {
            let connecting = {
                let mut state = self.state.lock();
                if matches!(&*state, State::Open(open) if open.sender.is_closed()) {
                    *state = State::Idle;
                }
                match &*state {
                    State::Open(open) => Err(open.clone()),
                    State::Connecting(connecting) => Ok(connecting.clone()),
                    State::Idle => {
                        let connecting = self.connect();
                        *state = State::Connecting(connecting.clone());
                        Ok(connecting)
                    }
                }
            };
            let mut connection = match connecting {
                Err(open) => open,
                Ok(connecting) => {
                    let connected = connecting.await;
                    let mut state = self.state.lock();
                    // Whoever comes first notes the result.
                    if matches!(&*state, State::Connecting(_)) {
                        self.tell(&connected);
                        *state = connected.clone().map_or(State::Idle, State::Open);
                    }
                    connected.map_err(LinkError::NotSent)?
                }
            };
            if connection.sender.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        Err(LinkError::NotSent("the connection was lost".to_owned()))
    }

    /// Begins to connect, in a task of its own.
    fn connect(&self) -> Connecting {
        let (done, connected) = oneshot::channel();
        let urls = self.transport.directory.peer_urls(self.to).unwrap_or_else(|| self.peer_urls.clone());
        let (silence, tls) = (self.transport.silence, self.transport.tls.clone());
        tokio::spawn(async move { drop(done.send(connect(&urls, silence, tls.as_ref()).await)) });
        let connected = connected.map(|result| result.unwrap_or_else(|_| Err("the runtime has stopped".to_owned())));
        connected.boxed().shared()
    }

    /// Logs a change: it is tried often.
    fn tell(&self, connected: &Result<Connection, String>) {
        let unreached = &mut self.transport.told.0.lock().unreached;
        match connected {
            Ok(_) if unreached.remove(&self.to) => tracing::info!(peer = %self.to, "the peer is reached again"),
            Err(why) if unreached.insert(self.to) => {
                tracing::warn!(peer = %self.to, why, "the peer cannot be reached; it is tried again");
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn failed(&self, status: &Status) -> LinkError {
        if status.code() == REMOVED {
            self.transport.removed.cancel();
            return LinkError::Refused(status.message().to_owned());
        }
        if status.code() == MISMATCH {
            if self.transport.told.0.lock().mismatched.insert(self.to) {
                tracing::warn!(peer = %self.to, "the peer refuses this member: {}", status.message());
            }
            return LinkError::Refused(status.message().to_owned());
        }
        failed(status)
    }

    async fn client(&self) -> Result<PeerClient<Connection>, LinkError> {
        let client = PeerClient::with_origin(self.connection().await?, Uri::from_static("http://peer"));
        let limit = self.transport.max_message_bytes;
        Ok(client.max_decoding_message_size(limit).max_encoding_message_size(usize::MAX))
    }

    /// A request with the metadata of this member.
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let ids = [(CLUSTER, self.transport.cluster.0), (FROM, self.transport.member.0), (TO, self.to.0)];
        for (name, id) in ids {
            let value = MetadataValue::try_from(format!("{id:x}")).expect("hexadecimal digits are a header's value");
            request.metadata_mut().insert(name, value);
        }
        request
    }
}

impl Link for GrpcLink {
    fn call(&self, call: Call, body: Bytes, limit: Duration) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shares = self.0.clone();
        Box::pin(async move {
            let mut client = match timeout(limit, shares.client()).await {
                Ok(client) => client?,
                Err(_) => return Err(LinkError::NotSent(format!("no connection within {limit:?}"))),
            };
            let request = shares.request(Message { body });
            let answer = timeout(limit, async {
                match call {
                    Call::Vote => client.vote(request).await,
                    Call::PreVote => client.pre_vote(request).await,
                    Call::TransferLeader => client.transfer_leader(request).await,
                    Call::Propose => client.propose(request).await,
                    Call::ReadIndex => client.read_index(request).await,
                    Call::Ask => client.ask(request).await,
                }
            });
            match answer.await {
                Ok(answer) => answer.map(|answer| answer.into_inner().body).map_err(|status| shares.failed(&status)),
                Err(_) => Err(LinkError::Lost(format!("no answer within {limit:?}"))),
            }
        })
    }

    fn append(&self, requests: Messages, limit: Duration) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let shares = self.0.clone();
        Box::pin(async move {
            let begin = async {
                let mut client = shares.client().await?;
                let request = shares.request(Outgoing(requests));
                client.append(request).await.map_err(|status| shares.failed(&status))
            };
            let begun = timeout(limit, begin).await;
            let answers = begun.map_err(|_| LinkError::Lost(format!("no stream within {limit:?}")))??.into_inner();
            let answers =
                answers.map(move |answer| answer.map(|answer| answer.body).map_err(|status| shares.failed(&status)));
            Ok(answers.boxed())
        })
    }

    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shares = self.0.clone();
        Box::pin(async move {
            let request = shares.request(Outgoing(parts));
            let answer = shares.client().await?.install_snapshot(request).await;
            answer.map(|answer| answer.into_inner().body).map_err(|status| shares.failed(&status))
        })
    }
}

/// Bodies as the messages of a stream. A type with a name, as closures would hide from the compiler that it can be sent.
struct Outgoing(Messages);

impl Stream for Outgoing {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.as_mut().poll_next(cx).map(|body| body.map(|body| Message { body }))
    }
}

fn failed(status: &Status) -> LinkError {
    let text = status.message().to_owned();
    let was_sent = || {
        let cause = status.source().and_then(|source| source.downcast_ref::<hyper::Error>());
        !cause.is_some_and(hyper::Error::is_canceled)
    };
    if status.code() == REFUSED {
        LinkError::Refused(text)
    } else if was_sent() {
        LinkError::Lost(text)
    } else {
        LinkError::NotSent(text)
    }
}

/// Asks whoever listens at a peer URL which cluster that is.
///
/// # Errors
/// Why there is no answer.
pub async fn describe(peer_url: &str, limit: Duration, tls: Option<&Connector>) -> Result<Description, String> {
    let ask = async { Connection::open(peer_url, limit, tls).await?.describe().await };
    timeout(limit, ask).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

/// What is at the bottom of a failure, which the layers above it only paraphrase.
fn innermost(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Connects to the first URL that answers.
async fn connect(urls: &[String], silence: Duration, tls: Option<&Connector>) -> Result<Connection, String> {
    let mut failures = Vec::new();
    for url in urls {
        match timeout(CONNECT_LIMIT, Connection::open(url, silence, tls)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(why)) => failures.push(format!("{url}: {why}")),
            Err(_) => failures.push(format!("{url}: no connection within {CONNECT_LIMIT:?}")),
        }
    }
    Err(if failures.is_empty() { "it has no peer URL".to_owned() } else { failures.join("; ") })
}

/// One connection; clones send on the same one.
#[derive(Clone)]
struct Connection {
    sender: SendRequest<Body>,
}

impl Connection {
    async fn open(url: &str, silence: Duration, tls: Option<&Connector>) -> Result<Self, String> {
        let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let host = url.host().ok_or("it has no host")?.trim_matches(['[', ']']);
        let port = url.port_u16().ok_or("it has no port")?;
        let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        if url.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Self::speak(stream, silence).await?.0);
        }
        let tls = tls.ok_or("its URL is https, and this member has no certificate: give --peer-cert-file")?;
        let stream = tls.connect(host, stream).await.map_err(|error| error.to_string())?;
        let (connection, ended) = Self::speak(stream, silence).await?;
        // The peer may judge this member's certificate only now; it says so in place of its first answer.
        if let Err(why) = connection.describe().await {
            drop(connection);
            let why = ended.await.ok().flatten().unwrap_or(why);
            return Err(format!("it does not answer over TLS: {why}"));
        }
        Ok(connection)
    }

    /// Begins with HTTP/2 on a stream; also returns what tells how that ended.
    async fn speak(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        silence: Duration,
    ) -> Result<(Self, JoinHandle<Option<String>>), String> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(silence)
            .keep_alive_timeout(silence)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // How it ended shows in the calls on it, as a rule.
        let ended = tokio::spawn(async move { connection.await.err().map(|error| innermost(&error)) });
        Ok((Self { sender }, ended))
    }

    /// Asks which cluster is at the other end.
    async fn describe(&self) -> Result<Description, String> {
        let mut client = PeerClient::with_origin(self.clone(), Uri::from_static("http://peer"));
        let answer = client.describe(Message::default()).await.map_err(|status| innermost(&status))?;
        Description::from_bytes(answer.into_inner().body).map_err(|error| error.to_string())
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
