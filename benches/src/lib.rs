//! A load generator for servers that speak etcd's v3 API, and a runner that compares two of them in turn.
//!
//! ```text
//! load ─→ generator ─→ crew (one a thread) ─→ clients ─→ channel (HTTP/2)
//!             ↑                └ pace (when), keys (what), phase (how much), recorder (how long it took)
//! process ─→ pairs ─→ figures ─→ report
//! ```
//!
//! [`load`] says what is asked of a server; [`generator`] asks it. [`pairs`] starts servers ([`process`]) in
//! turn on fresh data, gives each the same load, and samples what it costs them ([`usage`]); [`figures`] makes
//! ratios of it and [`report`] shows them. [`compare`] does so for every row of the published tables, with their goals. A server may be
//! a cluster of several processes ([`cluster`]). [`scale`] loads two servers with millions of revisions and looks at
//! what that costs to hold and to start again; [`stall`] compares a server with itself, without and with watchers
//! that stop reading; [`upkeep`] with itself while it defragments, compacts or sends a snapshot; [`instances`] is about the
//! SDK's clients of one large service, [`snapshots`] about the tools that take, check and restore snapshots. The generator shares the machine with the server, so it keeps its own costs low: one
//! runtime a thread, no locks between threads, no allocation for values.

mod channel;
mod clients;
pub mod cluster;
pub mod compare;
mod cost;
mod crew;
mod error;
pub mod figures;
pub mod generator;
mod home;
pub mod instances;
mod keys;
pub mod load;
mod pace;
pub mod pairs;
mod phase;
mod preload;
pub mod process;
pub mod progress;
mod recorder;
pub mod report;
pub mod scale;
pub mod snapshots;
pub mod stall;
pub mod upkeep;
pub mod usage;

pub use error::BenchError;
