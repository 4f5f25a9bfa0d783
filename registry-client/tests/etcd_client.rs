//! The SDK over a client of the crate `etcd-client` that is handed to it. Building this needs `protoc`.
//!
//! What the SDK promises is tested in `etcd.rs`; here is that it holds over another's connections, too, and how those fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, unused_imports, reason = "other suites use the rest")]
#[path = "kit/mod.rs"]
mod kit;

#[path = "over_etcd_client/mod.rs"]
mod over_etcd_client;
