//! The SDK against a real server: etcd on the loopback, or the one that `REGISTRY_TEST_ENDPOINT` names (then
//! with `--test-threads=1`, as some tests count all leases). `REGISTRY_TEST_ETCD` names another etcd's program, or our server's.
//!
//! The number in a test's name is the guarantee of the SDK that it holds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "authenticating/mod.rs"]
mod authenticating;
#[path = "kit/mod.rs"]
mod kit;
#[path = "registering/mod.rs"]
mod registering;
#[cfg(feature = "tls")]
#[path = "securing/mod.rs"]
mod securing;
#[path = "watching/mod.rs"]
mod watching;
