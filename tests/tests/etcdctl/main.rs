//! etcd's own command-line tool, as Debian ships it, against the server: whoever follows a tutorial must not
//! be able to tell the difference. Where the tool is not installed, these tests say so and end.

mod conformance;
mod reading;
mod tutorial;
mod urls;

/// The server's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");
