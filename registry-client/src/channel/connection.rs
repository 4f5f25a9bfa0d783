//! One connection to one endpoint.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, timeout};
use tonic::body::Body;

use super::connector::{Connector, Link, SendError};
use super::{ChannelError, with_origin};
use crate::instance::Endpoint;
use crate::meters;

/// For the TCP and the HTTP/2 handshake together.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A connection. Clones send on the same one; it closes when the last call on it and the last clone are gone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    link: Arc<dyn Link>,
    endpoint: Endpoint,
    pub(super) opened_at: Instant,
}

impl Connection {
    pub(super) async fn open(connector: &dyn Connector, endpoint: &Endpoint) -> Result<Self, String> {
        let opened = timeout(CONNECT_LIMIT, connector.connect(endpoint)).await;
        let opened = opened.unwrap_or_else(|_| Err(format!("no answer within {CONNECT_LIMIT:?}")));
        let link = opened.inspect_err(|_| meters::not_connected(&endpoint.uri()))?;
        meters::connected(&endpoint.uri());
        tracing::debug!(%endpoint, "connected");
        Ok(Self { link: Arc::from(link), endpoint: endpoint.clone(), opened_at: Instant::now() })
    }

    pub(super) fn is_usable(&self) -> bool {
        self.link.is_usable()
    }

    pub(super) async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        let not_sent = |error: String| ChannelError::NotSent(format!("{}: {error}", self.endpoint));
        *request.uri_mut() = with_origin(request.uri(), &self.endpoint).map_err(|error| not_sent(error.to_string()))?;
        self.link.send(request).await.map_err(|error| match error {
            SendError::NotSent(error) => not_sent(error),
            SendError::Broken(error) => ChannelError::Broken(self.endpoint.to_string(), error),
        })
    }
}
