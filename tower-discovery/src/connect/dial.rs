//! Opening the TCP connection to an endpoint.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::ConnectTimeout;
use crate::target::Target;

/// Why no byte stream to the endpoint was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The endpoint asks for a protocol that is not spoken here.
    #[error("scheme {0:?} is not supported")]
    Scheme(String),
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

/// A stream to the endpoint within `limit`, without Nagle's delay.
pub(super) async fn dial(target: &Target, limit: Duration) -> Result<TcpStream, DialError> {
    let endpoint = target.endpoint();
    if endpoint.scheme() != "http" {
        return Err(DialError::Scheme(endpoint.scheme().to_owned()));
    }
    let connecting = TcpStream::connect((endpoint.host(), endpoint.port()));
    let stream = timeout(limit, connecting).await.map_err(|_| ConnectTimeout(limit))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
