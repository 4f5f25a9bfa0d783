//! The test kit: what every suite under `tests/` stands on.
//!
//! [`Node`] is the server as a child process, to be killed and restarted; [`EmbeddedNode`] is one in this
//! process. [`Client`] talks to either, [`Watching`] reads a watch stream, [`History`] remembers what was
//! acknowledged, and [`eventually`] waits for a condition: no suite sleeps and hopes. [`requests`] makes
//! short work of requests, [`etcdctl`] runs etcd's own tool where it is installed.
//!
//! What always holds: only loopback and ports that the system chose; a directory of its own for each node;
//! no child outlives the test that started it, be it that the test panics.

pub mod budget;
mod client;
mod embedded;
pub mod etcdctl;
mod history;
mod node;
pub mod requests;
mod wait;
mod watching;

pub use client::{Client, KeepAlive, refusal};
pub use embedded::EmbeddedNode;
pub use history::{Acknowledged, History};
pub use node::{Node, Refused};
pub use wait::{eventually, within};
pub use watching::{Happened, Watching};
