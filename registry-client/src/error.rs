//! What can go wrong, without a type of the transport in it.

use crate::instance::{EndpointError, InstanceError};

/// Why a call of the SDK failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registration or the [`crate::Registry`] has ended, or its thread could not be started.
    #[error("the registry client is closed")]
    Closed,
    /// An address of the registry that cannot be dialled.
    #[error("an endpoint of the registry")]
    Endpoint(#[from] EndpointError),
    /// An instance that could not be registered anywhere.
    #[error("the instance")]
    Instance(#[from] InstanceError),
    /// A setting that makes no sense; the text says which.
    #[error("{0}")]
    Setting(String),
    /// Another registration holds the instance's key.
    #[error("{key:?} is held under lease {lease:x}, which is not ours")]
    Conflict {
        /// The key, namespace included.
        key: String,
        /// The holder's lease; 0 for a key without one.
        lease: i64,
    },
    /// An operator has put a tombstone over the instance.
    #[error("an operator's tombstone keeps {key:?} away")]
    Tombstone {
        /// The instance's key, namespace included.
        key: String,
    },
    /// The registry answered with an error that trying again cannot heal.
    #[error("the registry refused with {code}: {message}")]
    Refused {
        /// The gRPC code's name, as in `PermissionDenied`.
        code: String,
        /// The registry's own words.
        message: String,
    },
    /// No endpoint of the registry answers; it is tried again.
    #[error("the registry is unavailable: {message}")]
    Unavailable {
        /// What the last attempt ran into.
        message: String,
    },
    /// The lease that carries a registration is gone or in doubt.
    #[error("the lease: {0}")]
    Lease(#[from] LeaseTrouble),
    /// The limit that the caller set has passed.
    #[error("not done within the limit")]
    Deadline,
}

/// What made a lease doubtful, or ended it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseTrouble {
    /// A keep-alive was answered with a TTL of 0: the lease has expired or was revoked.
    #[error("a keep-alive was answered with TTL 0")]
    Gone,
    /// A put was refused because there is no such lease.
    #[error("a put was refused as there is no such lease")]
    NotFound,
    /// The registry ended the keep-alive stream without an error.
    #[error("the keep-alive stream ended")]
    StreamEnded,
    /// The keep-alive stream broke.
    #[error("the keep-alive stream broke: {0}")]
    StreamError(String),
    /// No keep-alive was answered for a third of the TTL.
    #[error("no keep-alive was answered for a third of the TTL")]
    Silent,
    /// By our own clock the TTL has passed since the last keep-alive that was answered.
    #[error("the TTL has passed since the last answered keep-alive")]
    Expired,
}

impl Error {
    /// Trying again without a change on somebody's side would fail again.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unavailable { .. } | Self::Deadline | Self::Lease(_))
    }
}
