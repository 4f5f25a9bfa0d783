//! A whole cluster in one process on virtual time.
//!
//! The members are the real ones, from their log to their services; `process` pauses and kills them, `runtime` and
//! `executor` are their clock and their threads, `network`, `peers` and `channel` what they and their clients say to each
//! other, and their disks are those of `MemVfs`. A [`Plan`] says what a seed means, `chaos` and `growth` carry it out on a
//! `cluster`, `users` are the clients of `registry-load`, and [`simulate`] has `registry-checkers` judge what they saw.
//!
//! What always holds: everything that happens follows from the seed; two runs of one write the same trace.

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
pub mod program;
mod run;
mod runtime;
mod users;
mod world;

pub use plan::{Fault, Plan, Planned, Weather, Whom};
pub use run::{Outcome, simulate};
