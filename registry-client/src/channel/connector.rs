//! Where connections come from: the network in production, a network in memory in a simulation.
//!
//! The channel decides whom to call and when; a [`Connector`] only opens what it is told to open, and a
//! [`Link`] only carries requests. A link says of a request that failed whether it was put on the wire, as
//! the next step depends on it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use http::{Request, Response};
use tonic::body::Body;

use crate::instance::Endpoint;

/// A future whose type is its owner's own matter.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens connections.
pub trait Connector: Debug + Send + Sync {
    /// Opens a connection, or says why there is none. The channel gives it 2 s; dropping the future gives
    /// the attempt up.
    fn connect(&self, endpoint: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>>;
}

/// An open connection, shared by the calls on it; it closes when the last of them is over and it is dropped.
pub trait Link: Debug + Send + Sync {
    /// Whether it takes further requests, as far as is known.
    fn is_usable(&self) -> bool;

    /// Sends a request, whose URI names the endpoint, and gives the answer's head and body.
    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>>;
}

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// Not a byte of it was put on the wire.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The connection broke; the registry may have carried the call out.
    #[error("broken: {0}")]
    Broken(String),
}
