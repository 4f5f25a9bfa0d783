//! The log of a member that was restored: who it is, the entries that made its members, and the snapshot that goes with its database.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use rustix::fs::{FallocateFlags, fallocate};

use super::error::WalFileError;
use super::frame::{Record, RecordKind, framed};
use super::{Metadata, Snapshot, file_name};
use crate::raft::{Entry, HardState};

/// etcd claims so many bytes for each file before it writes, so that appending changes no length.
const FILE_BYTES: u64 = 64_000_000;

/// All that the log of a new member says.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Whose log it is.
    pub metadata: Metadata,
    /// Its entries, from index 1 on.
    pub entries: Vec<Entry>,
    /// What Raft is to remember.
    pub hard_state: HardState,
    /// What its database has already.
    pub snapshot: Snapshot,
}

/// Writes a new log into a directory that is there, and waits until the disk has it. The directory's own entry is the caller's to sync.
/// Blocking.
///
/// # Errors
/// The file system's; a log that is there already among them.
pub fn create(dir: &Path, beginning: &Beginning) -> Result<(), WalFileError> {
    let path = dir.join(file_name(0, 0));
    let written = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut log = Writer { file: BufWriter::new(file), crc: 0 };
        log.append_all(beginning)?;
        let file = log.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        claim(&file)?;
        file.sync_all()?;
        OpenOptions::new().read(true).open(dir)?.sync_all()
    };
    written().map_err(|source| WalFileError::Io { path: path.clone(), source })
}

/// Reads as zeros, which end the log. A file system that cannot claim leaves the file as short as it is, which is right, too.
fn claim(file: &File) -> io::Result<()> {
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, FILE_BYTES) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

struct Writer<W> {
    file: W,
    crc: u32,
}

impl<W: Write> Writer<W> {
    fn append_all(&mut self, beginning: &Beginning) -> io::Result<()> {
        self.append(RecordKind::Crc, None)?;
        self.append(RecordKind::Metadata, Some(beginning.metadata.encode_to_vec().into()))?;
        // The state before the first entry, from which etcd may start, too.
        let nothing = Snapshot { index: Some(0), term: Some(0), conf_state: None };
        self.append(RecordKind::Snapshot, Some(nothing.encode_to_vec().into()))?;
        for entry in &beginning.entries {
            self.append(RecordKind::Entry, Some(entry.encode_to_vec().into()))?;
        }
        self.append(RecordKind::State, Some(beginning.hard_state.encode_to_vec().into()))?;
        self.append(RecordKind::Snapshot, Some(beginning.snapshot.encode_to_vec().into()))
    }

    fn append(&mut self, kind: RecordKind, data: Option<Bytes>) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, data.as_deref().unwrap_or_default());
        self.file.write_all(&framed(&Record { kind: Some(kind.into()), crc: Some(self.crc), data }))
    }
}
