//! Input of every kind that is not as it should be: what a client may get wrong, and what no client would send.
//!
//! `table` holds rows of requests with the answer each must get; it is asked of our server and, where one is
//! installed, of a real etcd, so that the table itself is proved. `kv`, `txn`, `lease`, `queues`, `admin` and `users`
//! are its rows; `watch` and `size` are what needs more than one request. `calls` breaks the gRPC call around a
//! message, `port` sends bytes that are no protocol, `noise` mutates well-formed messages by the ten thousand.
//! `records` and `settings` are the SDK's part.
//!
//! What always holds: the process that answered the first request answers the last one, and has not panicked.

mod admin;
mod calls;
mod healthy;
mod kv;
mod lease;
mod limits;
mod noise;
mod port;
mod queues;
mod records;
mod settings;
mod size;
mod table;
mod txn;
mod users;
mod watch;

/// The server as a program; cargo builds it for the suite.
const NODE: &str = env!("CARGO_BIN_EXE_node");
