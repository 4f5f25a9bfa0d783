//! The wire that the registry speaks: etcd's v3 API, with its names, numbers and types.
//!
//! The `.proto` files under `proto/` are compiled by `protox` when the crate is built, so nobody needs
//! `protoc`. Byte fields are [`bytes::Bytes`]: decoding a message shares the received buffer.
//!
//! Two answers are written by hand, [`etcdserverpb::RangeResponse`] and [`etcdserverpb::WatchResponse`]:
//! the server keeps every key-value encoded and puts those bytes into the answer as they are
//! ([`stored`]). All methods go through [`codec::SizedCodec`], which reserves a message's length before
//! it is written.

pub mod codec;
pub mod stored;

/// Key-values and events, as they are stored and watched.
#[expect(missing_docs, reason = "generated; the .proto files say what the fields mean")]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles and permissions.
#[expect(missing_docs, reason = "generated; the .proto files say what the fields mean")]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// KV, Watch, Lease, Cluster, Maintenance and Auth.
#[expect(missing_docs, reason = "generated; the .proto files say what the fields mean")]
pub mod etcdserverpb {
    #![expect(unused_qualifications, reason = "generated code")]
    tonic::include_proto!("etcdserverpb");
    pub use crate::stored::{RangeResponse, WatchResponse};
}

/// The Lock service.
#[expect(missing_docs, reason = "generated; the .proto files say what the fields mean")]
pub mod v3lockpb {
    #![expect(unused_qualifications, reason = "generated code")]
    tonic::include_proto!("v3lockpb");
}

/// The Election service.
#[expect(missing_docs, reason = "generated; the .proto files say what the fields mean")]
pub mod v3electionpb {
    #![expect(unused_qualifications, reason = "generated code")]
    tonic::include_proto!("v3electionpb");
}
