//! The SDK against our own server: what a registration may leave behind (nothing), and how a service is found.
//!
//! `registry-client`'s own suite makes many more claims, against a real etcd where one is installed.

#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod finding;
mod footprint;
mod herd;
mod idle;
mod leaks;
mod stopped;

use std::time::Duration;

use registry_client::{Instance, Registry};
use registry_tests::{EmbeddedNode, budget, eventually};

/// A TTL that hides nothing: whatever is left behind stays for the length of the test.
const HOUR: Duration = Duration::from_secs(3600);

fn registry(node: &EmbeddedNode) -> Registry {
    Registry::builder([node.url()]).build().expect("the node's URL is one")
}

fn instance(id: &str) -> Instance {
    let builder = Instance::builder("pay").id(id).endpoint("grpc", "http://127.0.0.1:9000");
    builder.build().expect("the instance is well-formed")
}

async fn no_lease_and_no_key_is_left(node: &EmbeddedNode) {
    let client = node.client().await;
    eventually(budget::SOON, "no lease is left", || async { client.leases().await.is_empty() }).await;
    assert_eq!(client.range(registry_tests::requests::prefix("/services/")).await, []);
}
