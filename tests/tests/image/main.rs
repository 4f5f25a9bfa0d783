//! Snapshots as images that etcd's tools read: taken by clients, and judged by the tools and by etcd started on them.
//! And the way back: the server started on what etcd has left.
//! Where a tool is not installed, the test says so and ends.

mod history;
mod takeover;
mod taking;
mod three;
mod tools;

/// The server's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");
