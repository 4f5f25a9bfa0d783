//! A whole cluster in one process on virtual time.
//!
//! The members are the real ones, from their log to their services; `process` pauses and kills them, `runtime` and
//! `executor` are their clock and their threads, `network`, `peers` and `channel` what they and their clients say to each
//! other, and their disks are those of `MemVfs`.
//!
//! What always holds: everything that happens follows from the seed.

#[cfg(feature = "planted-bugs")]
pub mod bugs;
mod channel;
mod chaos;
mod cluster;
mod executor;
mod growth;
mod network;
mod node;
mod panics;
mod peers;
mod plan;
mod process;
mod run;
mod runtime;
mod users;
mod world;

pub use channel::{CallError, Channel};
pub use chaos::Chaos;
pub use cluster::Cluster;
pub use growth::Growth;
pub use network::{Network, Site};
pub use node::{Ground, Node, Settings};
pub use peers::{Port, Ports};
pub use plan::{Fault, HEALED_AT, Plan, Planned, Weather, Whom};
pub use process::Process;
pub use run::{Outcome, simulate};
pub use runtime::Simulated;
pub use users::Users;
pub use world::{Trace, World, note, now};
