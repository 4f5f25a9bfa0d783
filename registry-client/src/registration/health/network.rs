//! The probes that come with the SDK: each makes a connection of its own and drops it.

use tokio::net::TcpStream;

use super::BoxError;
use super::security::Security;
use crate::instance::Endpoint;
#[cfg(feature = "health")]
use crate::instance::EndpointError;

/// What is asked over the network.
#[derive(Debug, Clone)]
pub(super) enum Network {
    Tcp(Endpoint),
    #[cfg(feature = "health")]
    Http {
        endpoint: Endpoint,
        path: http::uri::PathAndQuery,
    },
    #[cfg(feature = "health")]
    Grpc {
        endpoint: Endpoint,
        service: String,
    },
}

impl Network {
    #[cfg(feature = "health")]
    pub(super) fn http(endpoint: Endpoint, path: &str) -> Result<Self, EndpointError> {
        let text = format!("{endpoint}{path}");
        match path.parse() {
            Ok(path) if is_web(&endpoint) && text.contains('/') => Ok(Self::Http { endpoint, path }),
            _ => Err(EndpointError::Syntax(text)),
        }
    }

    #[cfg(feature = "health")]
    pub(super) fn grpc(endpoint: Endpoint, service: String) -> Result<Self, EndpointError> {
        if !is_web(&endpoint) {
            return Err(EndpointError::Syntax(endpoint.to_string()));
        }
        Ok(Self::Grpc { endpoint, service })
    }

    /// Where HTTP is spoken, in any of its versions.
    pub(super) fn web(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(feature = "health")]
            Self::Http { endpoint, .. } | Self::Grpc { endpoint, .. } => Some(endpoint),
        }
    }

    /// Asks once. The caller limits the time.
    #[cfg_attr(not(feature = "health"), expect(unused_variables, reason = "a connection is all that is asked for"))]
    pub(super) async fn probe(&self, security: &Security) -> Result<(), BoxError> {
        match self {
            Self::Tcp(endpoint) => connect(endpoint).await.map(drop),
            #[cfg(feature = "health")]
            Self::Http { endpoint, path } => rpc::get(endpoint, path, security.open(endpoint, "http/1.1").await?).await,
            #[cfg(feature = "health")]
            Self::Grpc { endpoint, service } => {
                rpc::check(endpoint, service, security.open(endpoint, "h2").await?).await
            }
        }
    }
}

#[cfg(feature = "health")]
fn is_web(endpoint: &Endpoint) -> bool {
    matches!(endpoint.scheme(), "http" | "https")
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, BoxError> {
    Ok(TcpStream::connect((endpoint.host(), endpoint.port())).await?)
}

#[cfg(feature = "health")]
mod rpc {
    //! What is asked over HTTP.

    use std::error::Error as StdError;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use futures_util::FutureExt;
    use http::uri::PathAndQuery;
    use http::{Request, Response, Uri};
    use hyper::body::Incoming;
    use hyper::client::conn::{http1, http2};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tonic::body::Body;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tower_service::Service;

    use super::{BoxError, Endpoint};
    use crate::channel::chain;
    use crate::registration::health::security::Stream;

    /// Any status of 2xx will do; the body is not read.
    pub(super) async fn get(endpoint: &Endpoint, path: &PathAndQuery, stream: Box<dyn Stream>) -> Result<(), BoxError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(path.as_str()).header("host", endpoint.authority()).body(Body::empty())?;
        let answer = driven(sender.send_request(request), connection).await?;
        if !answer.status().is_success() {
            return Err(format!("answered with {}", answer.status()).into());
        }
        Ok(())
    }

    /// Asks `grpc.health.v1.Health/Check`.
    pub(super) async fn check(endpoint: &Endpoint, service: &str, stream: Box<dyn Stream>) -> Result<(), BoxError> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let mut client = HealthClient::new(Caller { sender, endpoint: endpoint.clone() });
        let request = HealthCheckRequest { service: service.to_owned() };
        match driven(client.check(request), connection).await?.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("{service:?} is {}", other.as_str_name()).into()),
        }
    }

    /// The answer, for which its connection has to run. One that ends with the answer is not in the way; one that ends
    /// before it knows best why.
    async fn driven<A, E: StdError>(
        answer: impl Future<Output = Result<A, E>>,
        connection: impl Future<Output = hyper::Result<()>>,
    ) -> Result<A, BoxError> {
        let (mut answer, mut connection) = (pin!(answer), pin!(connection));
        let (answered, ended) = tokio::select! {
            answered = &mut answer => (Some(answered), connection.now_or_never()),
            ended = &mut connection => (answer.now_or_never(), Some(ended)),
        };
        match (answered, ended) {
            (Some(Ok(answer)), _) => Ok(answer),
            (_, Some(Err(error))) => Err(chain(&error).into()),
            (Some(Err(error)), _) => Err(chain(&error).into()),
            (None, _) => Err("it hung up".into()),
        }
    }

    /// The one connection, as the stub wants it.
    struct Caller {
        sender: http2::SendRequest<Body>,
        endpoint: Endpoint,
    }

    impl Service<Request<Body>> for Caller {
        type Response = Response<Incoming>;
        type Error = BoxError;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.sender.poll_ready(cx).map_err(Into::into)
        }

        fn call(&mut self, mut request: Request<Body>) -> Self::Future {
            let uri = format!("{}{}", self.endpoint, request.uri().path()).parse::<Uri>();
            let mut sender = self.sender.clone();
            Box::pin(async move {
                *request.uri_mut() = uri?;
                Ok(sender.send_request(request).await?)
            })
        }
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
