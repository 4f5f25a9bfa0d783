//! How clients come where an address is not enough: by TLS, or by a socket in the file system.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};

use crate::budget::{ANSWER, SOON};

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct Dial {
    /// A socket's path; none for the address in the URL.
    socket: Option<PathBuf>,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection without TLS, and one with or without.
type Plain = Either<TcpStream, UnixStream>;
type Stream = Either<Plain, TlsStream<Plain>>;

impl Dial {
    /// By TLS.
    #[must_use]
    pub fn tls(config: ClientConfig) -> Self {
        Self { socket: None, tls: Some(Arc::new(config)) }
    }

    /// By a socket, with TLS or without.
    #[must_use]
    pub fn socket(path: impl Into<PathBuf>, tls: Option<ClientConfig>) -> Self {
        Self { socket: Some(path.into()), tls: tls.map(Arc::new) }
    }

    /// A connection for generated clients. It is made once; what becomes of it later is told by calls.
    ///
    /// # Errors
    /// Nobody is there, or somebody else, or this one is not let in, as far as that is known at once.
    ///
    /// # Panics
    /// When the URL is none.
    pub async fn connect(self, url: &str) -> Result<Channel, tonic::transport::Error> {
        let plain =
            if self.socket.is_some() { "http://localhost".to_owned() } else { url.replace("https://", "http://") };
        let endpoint = Endpoint::from_shared(plain).expect("it is a URL").connect_timeout(SOON).timeout(ANSWER);
        endpoint.connect_with_connector(self).await
    }

    async fn dial(self, uri: Uri) -> io::Result<TokioIo<Stream>> {
        let host = uri.host().unwrap_or_default().to_owned();
        let plain = match self.socket {
            Some(path) => Either::Right(UnixStream::connect(path).await?),
            None => Either::Left(TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or_default())).await?),
        };
        let Some(tls) = self.tls else { return Ok(TokioIo::new(Either::Left(plain))) };
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(TokioIo::new(Either::Right(TlsConnector::from(tls).connect(name, plain).await?)))
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}
