//! The probes that come with the SDK: each makes a connection of its own and drops it.

use tokio::net::TcpStream;

use super::BoxError;
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
            Ok(path) if endpoint.scheme() == "http" && text.contains('/') => Ok(Self::Http { endpoint, path }),
            _ => Err(EndpointError::Syntax(text)),
        }
    }

    #[cfg(feature = "health")]
    pub(super) fn grpc(endpoint: Endpoint, service: String) -> Result<Self, EndpointError> {
        if endpoint.scheme() != "http" {
            return Err(EndpointError::Syntax(endpoint.to_string()));
        }
        Ok(Self::Grpc { endpoint, service })
    }

    /// Asks once. The caller limits the time.
    pub(super) async fn probe(&self) -> Result<(), BoxError> {
        match self {
            Self::Tcp(endpoint) => connect(endpoint).await.map(drop),
            #[cfg(feature = "health")]
            Self::Http { endpoint, path } => rpc::get(endpoint, path).await,
            #[cfg(feature = "health")]
            Self::Grpc { endpoint, service } => rpc::check(endpoint, service).await,
        }
    }
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, BoxError> {
    Ok(TcpStream::connect((endpoint.host(), endpoint.port())).await?)
}

#[cfg(feature = "health")]
mod rpc {
    //! What is asked over HTTP.

    use std::pin::Pin;
    use std::task::{Context, Poll};

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

    use super::{BoxError, Endpoint, connect};

    /// Any status of 2xx will do; the body is not read.
    pub(super) async fn get(endpoint: &Endpoint, path: &PathAndQuery) -> Result<(), BoxError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(connect(endpoint).await?)).await?;
        let request = Request::get(path.as_str()).header("host", endpoint.authority()).body(Body::empty())?;
        let answer = tokio::select! {
            answer = sender.send_request(request) => answer?,
            // One that ends before the answer says why; one that ends with it is not in the way.
            ended = connection => return Err(ended.err().map_or_else(|| "it hung up".into(), BoxError::from)),
        };
        if !answer.status().is_success() {
            return Err(format!("answered with {}", answer.status()).into());
        }
        Ok(())
    }

    /// Asks `grpc.health.v1.Health/Check`.
    pub(super) async fn check(endpoint: &Endpoint, service: &str) -> Result<(), BoxError> {
        let stream = TokioIo::new(connect(endpoint).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let mut client = HealthClient::new(Caller { sender, endpoint: endpoint.clone() });
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = tokio::select! {
            answer = client.check(request) => answer?.into_inner(),
            ended = connection => return Err(ended.err().map_or_else(|| "it hung up".into(), BoxError::from)),
        };
        match answer.status() {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("{service:?} is {}", other.as_str_name()).into()),
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
