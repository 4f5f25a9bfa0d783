//! Connectors: from a [`Target`](crate::Target) to a connection that carries requests.
//!
//! [`GrpcConnect`] is HTTP/2 as gRPC speaks it, [`HttpConnect`] is HTTP/1.1 with a pool or HTTP/2; both dial
//! through `dial` and count as connected only when the endpoint has shown that it is there. An endpoint whose scheme is
//! `https` is spoken to over TLS (feature `tls`); any other scheme but `http` is a [`DialError`].
//!
//! Any other `Service<Target>` is a connector as well, if it answers a cloneable service of requests: it tells the
//! connection's end by [`Target::liveness`](crate::Target::liveness), and gives back what it did not send as
//! [`Unsent`](crate::Unsent).

mod dial;
mod greeting;
mod grpc;
mod http;
mod http2;
mod last_words;
mod pool;
#[cfg(feature = "tls")]
mod tls;

pub use dial::DialError;
pub use grpc::{GrpcConnect, GrpcConnection};
pub use http::{HttpConnect, HttpConnection};
#[cfg(feature = "tls")]
pub use tls::{ClientTls, TlsError};
