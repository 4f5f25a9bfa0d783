//! Snapshots as images that etcd's tools read: taken by clients, and judged by the tools and by etcd started on them.
//! Where a tool is not installed, the test says so and ends.

mod history;
mod taking;
mod tools;

/// The server's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");
