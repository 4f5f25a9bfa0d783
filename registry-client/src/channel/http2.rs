//! HTTP/2 over TCP, which is how the registry is reached in production.

use http::{Request, Response};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
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

/// Opens HTTP/2 connections.
#[derive(Debug)]
pub(super) struct Http2;

impl Connector for Http2 {
    fn connect(&self, endpoint: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let endpoint = endpoint.clone();
        Box::pin(async move {
            let sender = handshake(&endpoint).await?;
            Ok(Box::new(Http2Link { sender }) as Box<dyn Link>)
        })
    }
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

#[derive(Debug)]
struct Http2Link {
    sender: SendRequest<Body>,
}

impl Link for Http2Link {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let mut sender = self.sender.clone();
        Box::pin(async move {
            sender.ready().await.map_err(|error| SendError::NotSent(error.to_string()))?;
            let answer = sender.try_send_request(request).await;
            answer.map(|answer| answer.map(Body::new)).map_err(|mut error| {
                // hyper hands the request back when not a byte of it was written.
                if error.take_message().is_some() {
                    return SendError::NotSent(error.error().to_string());
                }
                SendError::Broken(error.error().to_string())
            })
        })
    }
}
