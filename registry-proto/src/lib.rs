//! The wire that the registry speaks: etcd's v3 API, with its names, numbers and types.
//!
//! The `.proto` files under `proto/` are compiled by `protox` when the crate is built, so nobody needs
//! `protoc`. Byte fields are [`bytes::Bytes`]: decoding a message shares the received buffer.
//!
//! Two answers are written by hand, [`etcdserverpb::RangeResponse`] and [`etcdserverpb::WatchResponse`]:
//! the server keeps every key-value encoded and puts those bytes into the answer as they are
//! ([`stored`]). All methods go through [`codec::SizedCodec`], which reserves a message's length before
//! it is written.
//!
//! [`DESCRIPTORS`] describes all of it to whoever learns messages at run time.

pub mod codec;
mod generated;
pub mod stored;

pub use generated::{authpb, etcdserverpb, mvccpb, peer, v3electionpb, v3lockpb};

/// The compiled `.proto` files, a `google.protobuf.FileDescriptorSet` without comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
