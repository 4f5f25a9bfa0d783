//! One HTTP/2 connection, as the service that the generated stubs call.
//!
//! Nothing is retried or replaced here: a connection that breaks ends the measurement.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tower_service::Service;

use crate::BenchError;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Large enough that no answer waits for a window update: the server is measured, not the generator.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    origin: Uri,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Only plain `http://host:port`: TLS would measure something else.
    pub(crate) fn parse(text: &str) -> Result<Self, BenchError> {
        let fault = || BenchError::Endpoint(text.to_owned());
        let origin: Uri = text.trim_end_matches('/').parse().map_err(|_| fault())?;
        let host = origin.host().filter(|_| origin.scheme_str() == Some("http")).ok_or_else(fault)?.to_owned();
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = origin.port_u16().ok_or_else(fault)?;
        Ok(Self { origin, host, port })
    }

    /// What the stubs put before their paths.
    pub(crate) fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

/// A connection; clones send on the same one.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Connection {
    /// Its task runs on the runtime that calls this, and ends when the last clone is gone.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let fault = |reason: String| BenchError::Connect { endpoint: endpoint.origin.to_string(), reason };
        let opened = timeout(CONNECT_LIMIT, Self::handshake(endpoint)).await;
        opened.map_err(|_| fault(format!("no answer within {CONNECT_LIMIT:?}")))?.map_err(fault)
    }

    async fn handshake(endpoint: &Endpoint) -> Result<Self, String> {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        // How it ended shows in the calls on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, origin: endpoint.origin() })
    }

    /// As [`Endpoint::origin`].
    pub(crate) fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_http_with_a_port() {
        let endpoint = Endpoint::parse("http://127.0.0.1:2379/").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("127.0.0.1", 2379));
        assert_eq!(Endpoint::parse("http://[::1]:2379").unwrap().host, "::1");
        for text in ["127.0.0.1:2379", "https://a:1", "http://a", ""] {
            assert!(matches!(Endpoint::parse(text), Err(BenchError::Endpoint(_))), "{text}");
        }
    }
}
