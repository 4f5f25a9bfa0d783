//! One HTTP/2 connection to one endpoint.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::body::Body;

use super::{ChannelError, with_origin};
use crate::instance::Endpoint;

/// For the TCP and the HTTP/2 handshake together.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// etcd ends a connection that pings oftener than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_LIMIT: Duration = Duration::from_secs(4);
/// Big lists should not wait for window updates.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A connection. Clones send on the same one; it closes when the last call on it and the last clone are gone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    endpoint: Endpoint,
    pub(super) opened_at: Instant,
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, String> {
        let opened = timeout(CONNECT_LIMIT, Self::handshake(endpoint)).await;
        let sender = opened.map_err(|_| format!("no answer within {CONNECT_LIMIT:?}"))??;
        tracing::debug!(%endpoint, "connected");
        Ok(Self { sender, endpoint: endpoint.clone(), opened_at: Instant::now() })
    }

    async fn handshake(endpoint: &Endpoint) -> Result<SendRequest<Body>, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(|error| text(&error))?;
        stream.set_nodelay(true).map_err(|error| text(&error))?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_LIMIT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| text(&error))?;
        let name = endpoint.to_string();
        // Ends with the connection, which ends when nobody sends on it any more.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(endpoint = name, %error, "the connection broke");
            }
        });
        Ok(sender)
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(mut self, mut request: Request<Body>) -> Result<Response<Incoming>, ChannelError> {
        let not_sent = |error: String| ChannelError::NotSent(format!("{}: {error}", self.endpoint));
        *request.uri_mut() = with_origin(request.uri(), &self.endpoint).map_err(|error| not_sent(error.to_string()))?;
        self.sender.ready().await.map_err(|error| not_sent(error.to_string()))?;
        let answer = self.sender.try_send_request(request).await;
        answer.map_err(|mut error| {
            // hyper hands the request back when not a byte of it was written.
            if error.take_message().is_some() {
                return ChannelError::NotSent(format!("{}: {}", self.endpoint, error.error()));
            }
            ChannelError::Broken(self.endpoint.to_string(), error.error().to_string())
        })
    }
}
