//! HTTP/2 over TCP, or over TLS on it, which is how the registry is reached in production.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;

use super::connector::{BoxFuture, Connector, Link, SendError};
use crate::instance::Endpoint;

/// etcd ends a connection that pings oftener than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_LIMIT: Duration = Duration::from_secs(4);
/// Big lists should not wait for window updates.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// What to do about a registry that ends a connection for want of a certificate.
pub(super) const WANTS_CERTIFICATE: &str = ": give a certificate that the server takes, with TlsConfig::identity_files";

/// The same, when the registry did not say so.
const MAY_WANT_CERTIFICATE: &str = ": if the registry asks for certificates, give one with TlsConfig::identity_files";

/// Opens HTTP/2 connections.
#[derive(Debug, Default)]
pub(crate) struct Http2 {
    /// For all of them, or for none.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<super::TlsConfig>,
}

impl Connector for Http2 {
    fn connect(&self, endpoint: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let endpoint = endpoint.clone();
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        Box::pin(async move {
            let stream =
                TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            #[cfg(feature = "tls")]
            if let Some(tls) = tls {
                let stream = tls.secure(&endpoint, stream, "h2").await?;
                return link(&endpoint, stream, !tls.has_identity()).await;
            }
            link(&endpoint, stream, false).await
        })
    }
}

async fn link(
    endpoint: &Endpoint,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_anonymous: bool,
) -> Result<Box<dyn Link>, String> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| chain(&error))?;
    let name = endpoint.to_string();
    let broke = Arc::new(OnceLock::new());
    let tell = Arc::clone(&broke);
    // Ends with the connection, which ends when nobody sends on it any more.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            let error = chain(&error);
            tracing::debug!(endpoint = name, error, "the connection broke");
            drop(tell.set(error));
        }
    });
    Ok(Box::new(Http2Link { sender, broke, may_want_certificate: Arc::new(AtomicBool::new(is_anonymous)) }))
}

/// An error with its causes: what TLS has to say comes last.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    // Such a certificate is judged when the handshake is over for this side.
    if text.contains("CertificateRequired") || text.contains("BadCertificate") {
        text.push_str(WANTS_CERTIFICATE);
    }
    text
}

#[derive(Debug)]
struct Http2Link {
    sender: SendRequest<Body>,
    /// Why the connection is over, which its requests are not told.
    broke: Arc<OnceLock<String>>,
    /// By TLS without a certificate of the client's, and nothing was answered yet. The alert that says so may be lost, as
    /// this side writes while the other one closes.
    may_want_certificate: Arc<AtomicBool>,
}

impl Link for Http2Link {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let (mut sender, broke) = (self.sender.clone(), Arc::clone(&self.broke));
        let may_want_certificate = Arc::clone(&self.may_want_certificate);
        Box::pin(async move {
            let text = |error: &hyper::Error| {
                let mut text = broke.get().cloned().unwrap_or_else(|| chain(error));
                if may_want_certificate.load(Relaxed) && !text.ends_with(WANTS_CERTIFICATE) {
                    text.push_str(MAY_WANT_CERTIFICATE);
                }
                text
            };
            sender.ready().await.map_err(|error| SendError::NotSent(text(&error)))?;
            let answer = sender.try_send_request(request).await;
            if answer.is_ok() {
                may_want_certificate.store(false, Relaxed);
            }
            answer.map(|answer| answer.map(Body::new)).map_err(|mut error| {
                // hyper hands the request back when not a byte of it was written.
                if error.take_message().is_some() {
                    return SendError::NotSent(text(error.error()));
                }
                SendError::Broken(text(error.error()))
            })
        })
    }
}
