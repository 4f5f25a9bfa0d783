//! What survives a crash, a stop and a restart; and when the server refuses to start.
//!
//! `quiet` looks at the log of a server with which all is well.
//!
//! All of it is shown with the server as a child process, of which `children` checks that it ends with its
//! test: `load` writes and remembers, `crash` kills, `restart` and `snapshot` look at what a restart keeps,
//! `stop` and `refusals` at how a process ends.

mod children;
mod crash;
mod load;
mod quiet;
mod refusals;
mod restart;
mod snapshot;
mod stop;

/// The server's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");
