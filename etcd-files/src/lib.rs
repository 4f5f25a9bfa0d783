//! The files of etcd, as the server, `registryctl` and their tests read and write them.
//!
//! [`bbolt`] is the format of its database, written in order and read page by page; [`schema`] is what etcd keeps in which
//! bucket. Nothing here knows a server, a client or a runtime: it is blocking work over files and bytes.

pub mod bbolt;
pub mod schema;
