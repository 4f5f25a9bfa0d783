//! The files of etcd, as the server, `registryctl` and their tests read and write them.
//!
//! [`bbolt`] is the format of its database, written in order and read page by page; [`schema`] is what etcd keeps in which
//! bucket. [`wal`] is its log and [`raft_snapshot`] what Raft's state is cut off at, both made of [`raft`]'s messages; [`ids`] and
//! [`founders`] say who a member is. [`digest`], [`status`] and [`hash_kv`] tell whether a snapshot is whole and what it holds, and [`restore`] makes a
//! member's directory of it; [`defrag`] takes the free pages out of a stopped member's. Nothing here knows a server, a client or a runtime: it is blocking work over files and bytes.

pub mod bbolt;
pub mod defrag;
pub mod digest;
#[cfg(test)]
mod fixtures;
pub mod founders;
pub mod hash_kv;
pub mod ids;
pub mod raft;
pub mod raft_snapshot;
pub mod restore;
pub mod schema;
pub mod status;
pub mod wal;
