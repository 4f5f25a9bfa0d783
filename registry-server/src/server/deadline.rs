//! `grpc-timeout`: how long a client waits for a call, and what ends one that takes longer.
//!
//! The client's own clock ends its call, too, but that is known here only when its reset arrives; and a client that has
//! hung tells nothing. A call that ends so leaves what it has proposed where it is.

use std::pin::Pin;

use http::HeaderMap;
use tokio::time::Sleep;
use tonic::Status;

use crate::http::timeout::{self, HEADER, MAX_DIGITS};

/// When a call is ended.
pub(super) type Deadline = Pin<Box<Sleep>>;

/// The deadline that a request asks for, counted from now.
///
/// # Errors
/// When the header is no timeout, in the words of etcd's gRPC library, or no time is left.
pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Deadline>, Status> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    match timeout::read(value) {
        // Nothing is to be begun any more.
        Some(patience) if patience.is_zero() => Err(exceeded()),
        Some(patience) => Ok(Some(Box::pin(tokio::time::sleep(patience)))),
        None => Err(Status::internal(format!(
            "malformed grpc-timeout: {value:?}; give up to {MAX_DIGITS} digits and one of the units H, M, S, m, u and n"
        ))),
    }
}

/// What ends a call that took too long: gRPC's text, without etcd's prefix, as its server leaves it.
pub(super) fn exceeded() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}
