//! Opening the byte stream to an endpoint: TCP, secured where the endpoint's scheme says so.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[cfg(feature = "tls")]
use super::tls::ClientTls;
use crate::error::ConnectTimeout;
use crate::target::Target;

/// Why no byte stream to the endpoint was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The endpoint asks for a protocol that is not spoken here.
    #[error("scheme {0:?} is not supported: endpoints are http or https")]
    Scheme(String),
    /// The endpoint is secured, and the connector does not know whom to trust.
    #[error("the endpoint's scheme is https: give the connector a ClientTls (feature `tls` of tower-discovery)")]
    NeedsTls,
    /// No certificate can carry the endpoint's server name.
    #[error("{0:?} is neither a host name nor an address that a certificate could carry")]
    ServerName(String),
    /// The handshake failed: the server's certificate is not trusted or not its own, or it refused ours.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// The server speaks something else inside TLS.
    #[error("the server does not speak {0} over TLS")]
    Protocol(&'static str),
    /// The name does not resolve, or the address cannot be reached.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error(transparent)]
    Timeout(#[from] ConnectTimeout),
    /// The endpoint hung up before it said anything.
    #[error("the endpoint closed the connection before it greeted")]
    NoGreeting,
    /// The protocol could not be started.
    #[error(transparent)]
    Handshake(#[from] hyper::Error),
}

/// What a connector speaks over the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// How streams are opened.
#[derive(Debug, Clone)]
pub(super) struct DialSettings {
    /// For the name, the connection and the handshake together.
    pub(super) timeout: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientTls>,
}

/// A byte stream of either kind. One virtual call goes with each read and write, which are system calls.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Default for DialSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

#[cfg(feature = "tls")]
impl Protocol {
    /// Its name in ALPN.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A stream to the endpoint within the limit, without Nagle's delay.
pub(super) async fn dial(
    target: &Target,
    settings: &DialSettings,
    protocol: Protocol,
) -> Result<Box<dyn Stream>, DialError> {
    let limit = settings.timeout;
    timeout(limit, open(target, settings, protocol)).await.map_err(|_| ConnectTimeout(limit))?
}

#[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only TLS agrees on a protocol beforehand"))]
async fn open(target: &Target, settings: &DialSettings, protocol: Protocol) -> Result<Box<dyn Stream>, DialError> {
    match target.endpoint().scheme() {
        "http" => Ok(Box::new(connect(target).await?)),
        #[cfg(feature = "tls")]
        "https" => {
            let tls = settings.tls.as_ref().ok_or(DialError::NeedsTls)?;
            Ok(Box::new(tls.secure(target, protocol, connect(target).await?).await?))
        }
        #[cfg(not(feature = "tls"))]
        "https" => Err(DialError::NeedsTls),
        other => Err(DialError::Scheme(other.to_owned())),
    }
}

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let endpoint = target.endpoint();
    let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
