//! etcd's write-ahead log: files of records, each behind its length and with a checksum that goes on from the one before.
//!
//! [`create`] writes the short log of a member that was restored, [`read`] reads any: what it says of the member and of Raft at once,
//! its entries one by one. What always holds: a record counts only if its checksum does; entries that a later leader overwrote are
//! left out; a last record that was cut off by a crash is the end of the log, as for etcd, and damage anywhere else is an error that
//! names the file and the place in it. Blocking.

mod contents;
mod error;
mod frame;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;

use prost::Message;

pub use self::contents::{Contents, Entries, read};
pub use self::error::WalFileError;
pub use self::writer::{Beginning, create};
use crate::raft::ConfState;

/// Whose log it is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Metadata {
    /// The member's id.
    #[prost(uint64, optional, tag = "1")]
    pub node_id: Option<u64>,
    /// Its cluster's.
    #[prost(uint64, optional, tag = "2")]
    pub cluster_id: Option<u64>,
}

/// Says that there is a snapshot, from which a start may go on.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Snapshot {
    /// The last entry that is in it.
    #[prost(uint64, optional, tag = "1")]
    pub index: Option<u64>,
    /// That entry's term.
    #[prost(uint64, optional, tag = "2")]
    pub term: Option<u64>,
    /// The members at that index; etcd 3.4 does not say.
    #[prost(message, optional, tag = "3")]
    pub conf_state: Option<ConfState>,
}

/// A place in a file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: PathBuf,
    /// The byte in it.
    pub offset: u64,
}

/// The name of a file of the log: its place among them, and the index that follows what was written before it.
fn file_name(sequence: u64, index: u64) -> String {
    format!("{sequence:016x}-{index:016x}.wal")
}

/// What such a name says.
fn parse_file_name(name: &str) -> Option<(u64, u64)> {
    let (sequence, index) = name.strip_suffix(".wal")?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    Some((number(sequence)?, number(index)?))
}
