//! The files of etcd, as the server, `registryctl` and their tests read and write them.
//!
//! [`bbolt`] is the format of its database, written in order and read page by page; [`schema`] is what etcd keeps in which
//! bucket. [`wal`] is its log and [`raft_snapshot`] what Raft's state is cut off at, both made of [`raft`]'s messages; [`ids`] says who
//! a member is. Nothing here knows a server, a client or a runtime: it is blocking work over files and bytes.

pub mod bbolt;
pub mod ids;
pub mod raft;
pub mod raft_snapshot;
pub mod schema;
pub mod wal;
