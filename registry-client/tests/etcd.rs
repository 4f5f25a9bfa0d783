//! The SDK against a real server: etcd on the loopback, or the one that `REGISTRY_TEST_ENDPOINT` names (then
//! with `--test-threads=1`, as some tests count all leases).
//!
//! The number in a test's name is the guarantee of the SDK that it holds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kit/mod.rs"]
mod kit;
#[path = "registering/mod.rs"]
mod registering;
#[path = "watching/mod.rs"]
mod watching;
