//! A service registry: a Raft-replicated, multi-version key-value server that speaks the etcd v3 API.
//!
//! The rooms, in the order in which they may use each other (right uses left):
//! `types`, `command` → `storage` → `mvcc`, `lease`, `auth`, `cluster`, `tls`, `traces` → `consensus`, `watch` →
//! `apply` → `api`, `http` → `server`.

pub mod api;
pub mod apply;
pub mod auth;
pub mod cluster;
pub mod command;
pub mod consensus;
pub mod http;
pub mod lease;
pub mod mvcc;
pub mod server;
pub mod storage;
pub mod tls;
pub mod traces;
pub mod types;
pub mod watch;
