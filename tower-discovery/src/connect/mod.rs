//! Connectors: from a [`Target`](crate::Target) to a connection that carries requests.
//!
//! [`GrpcConnect`] is HTTP/2 as gRPC speaks it, [`HttpConnect`] is HTTP/1.1 with a pool or HTTP/2; both dial
//! through `dial` and count as connected only when the endpoint has shown that it is there. TLS is not
//! spoken yet: an endpoint of another scheme than `http` is a [`DialError`].

mod dial;
mod greeting;
mod grpc;
mod http;
mod http2;
mod pool;

pub use dial::DialError;
pub use grpc::{GrpcConnect, GrpcConnection};
pub use http::{HttpConnect, HttpConnection};
