//! Watches: chronicles that see everything at one member, and drawn ones that come and go.
//!
//! `stream` is one gRPC stream with its watchers, `watcher` is one of them and where it would be carried on,
//! `chronicle` and `drawn` are the two kinds of clients that read them.

mod chronicle;
mod drawn;
mod stream;
mod watcher;

pub(crate) use chronicle::Chronicle;
pub(crate) use drawn::Drawn;
