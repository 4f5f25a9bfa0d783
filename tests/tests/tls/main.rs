//! TLS for clients: who is let in and who is not, over which versions, with which files, and what the log says. And
//! sockets in the file system.

mod files;
mod kit;
mod refusals;
mod silent;
mod sockets;
mod tool;
mod who;

/// The server that is tested.
const NODE: &str = env!("CARGO_BIN_EXE_node");
