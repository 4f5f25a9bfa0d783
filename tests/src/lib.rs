//! The test kit: what every suite under `tests/` stands on.
//!
//! [`Node`] is the server as a child process, to be killed and restarted; [`EmbeddedNode`] is one in this
//! process. [`Client`] talks to either, [`Watching`] reads a watch stream, and [`eventually`] waits for a
//! condition: no suite sleeps and hopes. [`Cluster`] is several servers, the registry's or etcd's, with a
//! [`Network`] between them that can be cut. A [`ledger::Ledger`] of what clients asked for and were told is
//! compared with the [`chronicle::Chronicle`] of what a server made of it; [`model`] is a whole state machine
//! with which servers are compared. [`requests`] makes short work of requests, [`etcdctl`] runs etcd's own tool
//! where it is installed, and [`Etcd`] is the real server, where that is. [`Wire`] sends what no generated
//! client would, and [`tls`] makes certificates and knocks where they are asked for; [`Dial`] comes by
//! TLS and by sockets.
//!
//! What always holds: only loopback and ports that the system chose; a directory of its own for each node;
//! no child outlives the test that started it, be it that the test panics.

pub mod budget;
pub mod chronicle;
mod client;
mod cluster;
mod dial;
pub mod echo;
mod embedded;
mod etcd;
pub mod etcdctl;
pub mod figures;
mod footprint;
pub mod ledger;
pub mod model;
mod node;
mod proxy;
pub mod requests;
pub mod tls;
mod wait;
mod watching;
pub mod wire;

pub use client::{Client, KeepAlive, refusal};
pub use cluster::{Cluster, Namespaces, Plan, Port, Program, Standing, is_inside, run_inside};
pub use dial::Dial;
pub use embedded::EmbeddedNode;
pub use etcd::{Etcd, PATH as ETCD};
pub use footprint::Footprint;
pub use node::{Node, Refused};
pub use proxy::{Cut, Network};
pub use wait::{eventually, within};
pub use watching::{Happened, Watching};
pub use wire::Wire;
