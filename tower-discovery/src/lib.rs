//! Keeping a tower or gRPC load balancer's endpoints current from a registry.
//!
//! The way of an endpoint: a [`View`](registry_client::View)'s snapshots → `resolve`, `diff` (what changed)
//! → `driver` (connects, and publishes a picker) → [`Balance`] (each caller picks in its own task) → a
//! connection made by a connector of [`connect`]. [`DiscoveryLayer`] puts them together;
//! [`ServiceWatchExt::discover`] is the short way, for balancers of other crates.
//!
//! What always holds: a removed endpoint gets no new request while its requests in flight finish; losing the
//! registry changes nothing; no request waits in another task's queue, nor for ever; only a request that no
//! endpoint has looked at is sent a second time, and that once.

mod backoff;
mod balance;
mod balancing;
mod body;
pub mod connect;
mod diff;
mod discover;
mod driver;
pub mod error;
mod grpc;
pub mod guide;
mod layer;
mod liveness;
mod load;
mod meters;
mod picker;
mod resolve;
pub mod retry;
mod target;
#[cfg(feature = "tonic")]
mod tonic_feed;

pub use backoff::Backoff;
pub use balance::{Balance, ChannelEnded, NoEndpoint, Pinned, Readiness, Standing};
pub use balancing::{Affinity, FailurePercentage, OutlierEjection, SuccessRate, Zone};
pub use body::{RequestBody, ResponseBody};
#[cfg(feature = "tls")]
pub use connect::{ClientTls, TlsError};
pub use connect::{GrpcConnect, GrpcConnection, HttpConnect, HttpConnection};
pub use discover::{Discover, ServiceWatchExt};
pub use error::{BoxError, ConnectError, Error, NoEndpointError, Unsent};
pub use layer::DiscoveryLayer;
pub use liveness::{Liveness, LivenessGuard};
pub use load::LoadMetric;
pub use target::{Key, ServedBy, Target};
#[cfg(feature = "tonic")]
pub use tonic_feed::TonicSender;

/// A balanced gRPC channel; `PayClient::new(channel)` works with any tonic-generated client.
pub type GrpcChannel = Balance<GrpcConnection>;

/// A balanced HTTP channel: a service of [`http::Request`]s.
pub type HttpChannel = Balance<HttpConnection>;

/// Fails to compile when a channel could no longer be kept anywhere and used from any task.
const _: () = {
    const fn is_shareable<T: Clone + Send + Sync + 'static>() {}
    is_shareable::<GrpcChannel>();
    is_shareable::<HttpChannel>();
    is_shareable::<DiscoveryLayer>();
    is_shareable::<Error>();
    is_shareable::<Pinned<GrpcConnection>>();
    is_shareable::<Readiness>();
};
