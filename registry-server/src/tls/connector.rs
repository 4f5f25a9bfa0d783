//! The side that connects.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::Credentials;
use super::error::HandshakeError;

/// Secures connections to others. Clones share the credentials.
#[derive(Debug, Clone)]
pub struct Connector {
    credentials: Arc<Credentials>,
}

impl Connector {
    /// Connects with these.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials }
    }

    /// Shakes hands with `host`, to which `stream` leads: its certificate must be for that name or address. How long it may
    /// take is the caller's to bound.
    ///
    /// With TLS 1.3 this side is done before the other one has judged its certificate: a refusal may follow, in place of
    /// the first answer.
    ///
    /// # Errors
    /// The other side does not speak TLS, or is not to be trusted.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| HandshakeError::BadName { host: host.to_owned() })?;
        let config = self.credentials.current().await.client;
        TlsConnector::from(config).connect(name, stream).await.map_err(HandshakeError::from_io)
    }
}
