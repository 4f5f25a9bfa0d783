//! What servers tell over plain HTTP/1 beside gRPC: `/version`, `/health`, `/metrics`; and how their door looks from outside.
//!
//! [`door`] finds out what is spoken at an address, [`tls`] shakes hands with whoever is there, [`certificate`] reads how long
//! one is valid, [`figures`] reads metrics. `doctor` and `top` look through here; nothing that changes anything does.
//!
//! What always holds: no password and no token is sent here, as whoever answers need not be whom one believes; each
//! answer is bounded in bytes, and the caller bounds the time.

pub(crate) mod certificate;
pub(crate) mod door;
pub(crate) mod figures;
mod tls;

use std::io;

use bytes::Bytes;
use http::header::{DATE, HOST, HeaderValue};
use http::uri::{Authority, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::global::Global;

/// No answer is read further than this; the metrics of a server have some hundred kilobytes.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Where an endpoint is, and how it is to be spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    authority: Authority,
    port: u16,
    /// As the endpoint or the certificates that were given ask for it.
    pub(crate) is_secure: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Nobody listens there, or nothing leads there.
    #[error("{0}")]
    Connect(io::Error),
    /// Somebody listens, and the handshake failed.
    #[error("{0}")]
    Handshake(io::Error),
    /// The connection was not taken.
    #[error("{0}")]
    Http(hyper::Error),
}

/// Why there is no answer.
pub(crate) type PageError = Box<dyn std::error::Error + Send + Sync>;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// The server's clock, in whole seconds, if it tells it.
    pub(crate) date: Option<std::time::SystemTime>,
    pub(crate) body: Bytes,
}

impl Page {
    /// The body, as far as it is text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Target {
    /// Where an endpoint of the command line is; none for what is no address, as a socket.
    pub(crate) fn of(global: &Global, endpoint: &str) -> Option<Self> {
        Self::of_url(endpoint, global.cacert.is_some() || global.cert.is_some())
    }

    /// The same; `wants_tls` decides for what does not say so itself.
    pub(crate) fn of_url(endpoint: &str, wants_tls: bool) -> Option<Self> {
        let (is_secure, rest) = match endpoint.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (wants_tls, endpoint),
        };
        let uri: Uri = format!("http://{rest}").parse().ok()?;
        let authority = uri.authority()?.clone();
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Some(Self { authority, port, is_secure })
    }

    /// The same address, spoken to the other way.
    pub(crate) fn otherwise(&self) -> Self {
        Self { is_secure: !self.is_secure, ..self.clone() }
    }

    /// The name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether a URL leads to the same place, by whatever protocol.
    pub(crate) fn is_url(&self, url: &str) -> bool {
        Self::of_url(url, false).is_some_and(|other| self.is_at(&other))
    }

    fn is_at(&self, other: &Self) -> bool {
        let is_loopback = |host: &str| host == "localhost" || host == "127.0.0.1" || host == "::1";
        let same_host = self.host().eq_ignore_ascii_case(other.host());
        self.port == other.port && (same_host || (is_loopback(self.host()) && is_loopback(other.host())))
    }
}

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Session {
    requests: SendRequest<Empty<Bytes>>,
    host: HeaderValue,
    /// What the server presented, its own certificate first; empty without TLS.
    pub(crate) presented: Vec<CertificateDer<'static>>,
    task: JoinHandle<()>,
}

impl Session {
    /// Connects, and shakes hands if the target is secure; whose certificate it is does not matter.
    pub(crate) async fn open(global: &Global, target: &Target) -> Result<Self, OpenError> {
        let stream = TcpStream::connect((target.host(), target.port)).await.map_err(OpenError::Connect)?;
        if !target.is_secure {
            return Self::over(target, stream, Vec::new()).await;
        }
        let stream = tls::shake_hands(global, target, stream).await.map_err(OpenError::Handshake)?;
        let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let presented = presented.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Self::over(target, stream, presented).await
    }

    async fn over(
        target: &Target,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        presented: Vec<CertificateDer<'static>>,
    ) -> Result<Self, OpenError> {
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(OpenError::Http)?;
        // How it ends is told to the request that is under way.
        let task = tokio::spawn(async { drop(connection.await) });
        let host = HeaderValue::from_str(target.authority.as_str());
        let host = host.unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Ok(Self { requests, host, presented, task })
    }

    /// Gets a page; not longer than 16 MiB.
    pub(crate) async fn get(&mut self, path: &'static str) -> Result<Page, PageError> {
        let mut request = http::Request::new(Empty::new());
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(HOST, self.host.clone());
        self.requests.ready().await?;
        let answer = self.requests.send_request(request).await?;
        let date = answer.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body?.to_bytes();
        Ok(Page { status, date, body })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
