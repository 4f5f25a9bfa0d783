//! The server as a program: its file of settings, its log, and what it tells the system about itself.

mod log;
mod service;
mod settings;

/// The server that is tested.
const NODE: &str = env!("CARGO_BIN_EXE_node");
