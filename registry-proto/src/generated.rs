//! What the build makes of `proto/`, one module a package.

#![expect(missing_docs, reason = "the .proto files say what the fields mean")]
#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

/// Key-values and events, as they are stored and watched.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles and permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// KV, Watch, Lease, Cluster, Maintenance and Auth.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
    pub use crate::stored::{RangeResponse, WatchResponse};
}

/// The Lock service.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// The Election service.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// What the members of a cluster say to each other: the registry's own.
pub mod peer {
    tonic::include_proto!("registry.peer.v1");
}
