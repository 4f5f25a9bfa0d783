//! The side that is connected to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::credentials::Credentials;
use super::error::HandshakeError;
use super::names::{common_name, may_come_from};

/// How long a handshake may take, as in etcd.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long, and for how many bytes, somebody who was refused is listened to.
const PARTING_LIMIT: Duration = Duration::from_secs(1);
const PARTING_BYTES: u64 = 64 * 1024;

/// What can be secured.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Unpin> Socket for IO {}

/// The certificate that the other side of a connection has presented, and that was verified. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    common_name: Option<Arc<str>>,
}

impl PeerCertificate {
    /// Of a connection that is secured; none if nobody had to present one.
    #[must_use]
    pub fn of<IO>(stream: &TlsStream<IO>) -> Option<Self> {
        let [certificate, ..] = stream.get_ref().1.peer_certificates()? else { return None };
        Some(Self { common_name: common_name(certificate).map(Arc::from) })
    }

    /// One with this common name.
    #[must_use]
    pub fn named(common_name: Option<&str>) -> Self {
        Self { common_name: common_name.map(Arc::from) }
    }

    /// The common name of its subject: the user, where clients are known by their certificates.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }
}

/// Secures connections that were accepted. Clones share the credentials.
#[derive(Debug, Clone)]
pub struct Acceptor {
    credentials: Arc<Credentials>,
}

impl Acceptor {
    /// Accepts with these.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials }
    }

    /// Shakes hands with whoever has connected from `remote`, if that is an address. How many do so at once is the caller's
    /// to bound.
    ///
    /// # Errors
    /// The other side is too slow, does not speak TLS, or is not let in.
    pub async fn accept<IO: Socket>(
        &self,
        stream: IO,
        remote: Option<IpAddr>,
    ) -> Result<TlsStream<IO>, HandshakeError> {
        let limited = timeout(HANDSHAKE_LIMIT, self.shake_hands(stream, remote)).await;
        limited.unwrap_or(Err(HandshakeError::Timeout(HANDSHAKE_LIMIT)))
    }

    async fn shake_hands<IO: Socket>(
        &self,
        stream: IO,
        remote: Option<IpAddr>,
    ) -> Result<TlsStream<IO>, HandshakeError> {
        let config = self.credentials.current().await.server;
        let stream = match TlsAcceptor::from(config).accept(stream).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => {
                part(stream).await;
                return Err(HandshakeError::from_io(error));
            }
        };
        let Some(remote) = remote.filter(|_| !self.credentials.settings().skip_client_san_verification) else {
            return Ok(stream);
        };
        if let Some([cert, ..]) = stream.get_ref().1.peer_certificates() {
            let verified = may_come_from(cert, remote).await;
            verified.map_err(|names| HandshakeError::OtherAddress { names, address: remote })?;
        }
        Ok(stream)
    }
}

/// Ends a connection so that the other side gets to read why: a socket that is closed with bytes unread takes what was sent
/// before along.
async fn part(mut stream: impl Socket) {
    let parting = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(PARTING_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever becomes of it: the connection is over.
    drop(timeout(PARTING_LIMIT, parting).await);
}
