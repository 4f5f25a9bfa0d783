//! What survives a crash, a stop and a restart; and when the server refuses to start.
//!
//! `quiet` looks at the log of a server with which all is well.
//!
//! All of it is shown with the server as a child process, of which `children` checks that it ends with its
//! test. `crash` kills under a `load` of clients (`workers`) and compares what is there afterwards: with what they asked
//! for (`ledger`), with the history as it was read before (`chronicle`, both of the kit), with what `leases`, `compactions` and
//! watchers (`followers`) must be like. `restart` and `snapshot` look at what a restart keeps, `stop` and
//! `refusals` at how a process ends.

mod children;
mod compactions;
mod crash;
mod followers;
mod leases;
mod load;
mod quiet;
mod refusals;
mod restart;
mod snapshot;
mod stop;
mod workers;

/// The server's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");
