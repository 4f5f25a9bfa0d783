//! What a log says: of its member and of Raft at once, its entries one by one.
//!
//! The log is read twice. The first time shows which entries count: a new leader overwrites what its predecessor could not commit,
//! and a member that got a snapshot needs nothing from before it. The second time gives those, in the memory of one record.

use std::path::{Path, PathBuf};

use prost::Message;

use super::error::WalFileError;
use super::frame::RecordKind;
use super::reader::Records;
use super::{Metadata, Position, Snapshot};
use crate::raft::{Entry, HardState};

/// What a log says.
#[derive(Debug, Clone)]
pub struct Contents {
    dir: PathBuf,
    /// Whose log it is.
    pub metadata: Metadata,
    /// What Raft remembers. Entries behind its commit may yet be overwritten.
    pub hard_state: HardState,
    /// The snapshots that were made up to that commit, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// The index of the first entry and of the last; none if there is none.
    pub indexes: Option<(u64, u64)>,
    /// Where a crash cut the last record off, which does not count then.
    pub torn_tail: Option<Position>,
    overwritten: Overwritten,
}

/// Reads a log, but for its entries, which [`Contents::entries`] gives. Blocking.
///
/// # Errors
/// See [`WalFileError`].
pub fn read(dir: &Path) -> Result<Contents, WalFileError> {
    let mut records = Records::open(dir)?;
    let mut seen = Seen::default();
    while let Some((kind, data)) = records.next()? {
        seen.take(kind, &data).map_err(|reason| records.damaged(reason))?;
    }
    let torn_tail = records.torn_tail().cloned();
    let Seen { metadata: Some(metadata), hard_state, mut snapshots, indexes, overwritten, .. } = seen else {
        return Err(records.damaged("the log does not say whose it is"));
    };
    // One that came from a leader is in the log before it counts.
    snapshots.retain(|snapshot| snapshot.index() <= hard_state.commit());
    Ok(Contents { dir: dir.to_owned(), metadata, hard_state, snapshots, indexes, torn_tail, overwritten })
}

impl Contents {
    /// The entries that count, each index once and in order. Blocking, as is each step.
    ///
    /// # Errors
    /// See [`WalFileError`].
    pub fn entries(&self) -> Result<Entries<'_>, WalFileError> {
        Ok(Entries { records: Records::open(&self.dir)?, entry: 0, overwritten: &self.overwritten.0 })
    }
}

/// What a first reading has seen.
#[derive(Debug, Default)]
struct Seen {
    metadata: Option<Metadata>,
    hard_state: HardState,
    snapshots: Vec<Snapshot>,
    /// The greatest index of these.
    snapshot_index: u64,
    indexes: Option<(u64, u64)>,
    overwritten: Overwritten,
    /// Entries that were seen.
    entries: u64,
}

/// Where indexes stepped back: before this entry of the log, those from this index on do not count. Only steps that no later one
/// undoes are here, so indexes ascend.
#[derive(Debug, Clone, Default)]
struct Overwritten(Vec<(u64, u64)>);

impl Overwritten {
    fn add(&mut self, before: u64, from: u64) {
        while self.0.last().is_some_and(|(_, index)| *index >= from) {
            self.0.pop();
        }
        self.0.push((before, from));
    }
}

impl Seen {
    fn take(&mut self, kind: RecordKind, data: &[u8]) -> Result<(), &'static str> {
        match kind {
            RecordKind::Metadata => {
                let metadata = Metadata::decode(data).map_err(|_| "whose log it is cannot be read")?;
                if self.metadata.is_some_and(|known| known != metadata) {
                    return Err("it is of another member than the log's beginning");
                }
                self.metadata = Some(metadata);
            }
            RecordKind::State => {
                self.hard_state = HardState::decode(data).map_err(|_| "Raft's state cannot be read")?;
            }
            RecordKind::Snapshot => {
                let snapshot = Snapshot::decode(data).map_err(|_| "a snapshot's record cannot be read")?;
                self.snapshot_index = self.snapshot_index.max(snapshot.index());
                self.snapshots.push(snapshot);
            }
            RecordKind::Entry => {
                let entry = Entry::decode(data).map_err(|_| UNREADABLE)?;
                self.entry(entry.index())?;
            }
            RecordKind::Crc | RecordKind::Unknown => {}
        }
        Ok(())
    }

    fn entry(&mut self, index: u64) -> Result<(), &'static str> {
        self.indexes = Some(match self.indexes {
            None => (index, index),
            Some((first, last)) if last.checked_add(1) == Some(index) => (first, index),
            Some((first, last)) if index <= last => {
                self.overwritten.add(self.entries, index);
                (first.min(index), index)
            }
            // It goes on behind a snapshot that came from a leader.
            Some(_) if index - 1 <= self.snapshot_index => {
                self.overwritten.add(self.entries, 0);
                (index, index)
            }
            Some(_) => return Err("entries are missing before it"),
        });
        self.entries += 1;
        Ok(())
    }
}

const UNREADABLE: &str = "an entry cannot be read";

/// The entries of a log that count, in the order of their indexes.
#[derive(Debug)]
pub struct Entries<'a> {
    records: Records,
    /// How many entries were seen, those that do not count among them.
    entry: u64,
    /// The steps that are still to come.
    overwritten: &'a [(u64, u64)],
}

impl Entries<'_> {
    fn step(&mut self) -> Result<Option<Entry>, WalFileError> {
        while let Some((kind, data)) = self.records.next()? {
            if kind != RecordKind::Entry {
                continue;
            }
            let entry = Entry::decode(data).map_err(|_| self.records.damaged(UNREADABLE))?;
            while self.overwritten.first().is_some_and(|(before, _)| *before <= self.entry) {
                self.overwritten = &self.overwritten[1..];
            }
            self.entry += 1;
            if self.overwritten.first().is_none_or(|(_, from)| entry.index() < *from) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, WalFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
