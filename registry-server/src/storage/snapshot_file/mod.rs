//! Snapshot files: a stream of checksummed blocks that counts only when it is complete and durable.
//!
//! ```text
//! header: magic (4) version (4) meta length (4) CRC (4) meta
//! block:  length (4) CRC (4) bytes                            the CRC covers number, length and bytes
//! footer: 0xFFFF_FFFF (4) CRC (4) block count (8) total CRC (4)
//! ```
//!
//! Integers are little-endian, checksums CRC-32C; meta and blocks are opaque. A writer writes to a `.tmp`
//! name, syncs, renames and syncs the directory; so a `.snap` name always leads to a whole file, and what
//! a reader finds wrong with it is damage. All of it blocks: use it on executor lanes.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use self::reader::{Run, SnapshotReader};
pub use self::writer::SnapshotWriter;
use super::vfs::{OpenMode, Vfs, VfsFile};
use crate::types::planted::{Bug, planted};

const MAGIC: [u8; 4] = *b"RSNP";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const BLOCK_HEADER_BYTES: usize = 8;
const FOOTER_BYTES: usize = 20;
const FOOTER_MARK: u32 = u32::MAX;

/// The largest block and the largest meta, in bytes.
const MAX_BLOCK_BYTES: usize = 64 << 20;

/// A complete snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// The index of the last entry it holds.
    pub index: u64,
    /// Its size.
    pub bytes: u64,
    /// Distinguishes snapshots of one index; the greater is the newer.
    unique: u32,
}

/// An error of a snapshot file.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused.
    #[error("snapshot file {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error(
        "snapshot file {} is damaged at byte {offset}: {reason}; restore this member from another snapshot, or \
         replace it by a new member",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What was found.
        reason: &'static str,
    },
    /// The file was written by a newer program.
    #[error("snapshot file {} has format version {version}, this program knows {FORMAT_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A block or the meta is larger than 64 MiB.
    #[error("a snapshot block of {bytes} bytes is too large, the limit is {MAX_BLOCK_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl SnapshotError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// The newest complete snapshot of a directory; its content is checked by whoever reads it. It may be one that
/// [`SnapshotWriter::finish`] could not make durable: only after [`remove_unfinished`] does it count.
///
/// # Errors
/// [`SnapshotError::Io`].
pub fn latest<V: Vfs>(vfs: &V, dir: &Path) -> Result<Option<SnapshotFile>, SnapshotError> {
    let names = vfs.list(dir).map_err(SnapshotError::io(dir))?;
    let Some((index, unique, name)) =
        names.iter().filter_map(|name| parse_name(name).map(|(index, unique)| (index, unique, name))).max()
    else {
        return Ok(None);
    };
    let path = dir.join(name);
    let length = vfs.open(&path, OpenMode::Read).and_then(|file| file.len());
    let bytes = length.map_err(SnapshotError::io(&path))?;
    Ok(Some(SnapshotFile { path, index, bytes, unique }))
}

/// Removes the snapshots that are older than `keep`. Open readers keep what they read.
///
/// # Errors
/// [`SnapshotError::Io`]; what was not removed goes the next time.
pub fn remove_older<V: Vfs>(vfs: &V, dir: &Path, keep: &SnapshotFile) -> Result<(), SnapshotError> {
    remove_matching(vfs, dir, is_older_than(keep))
}

/// The snapshots that [`remove_older`] would remove.
///
/// # Errors
/// [`SnapshotError::Io`].
pub fn older<V: Vfs>(vfs: &V, dir: &Path, keep: &SnapshotFile) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut names = vfs.list(dir).map_err(SnapshotError::io(dir))?;
    names.retain(|name| is_older_than(keep)(name));
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

fn is_older_than(keep: &SnapshotFile) -> impl Fn(&str) -> bool {
    |name| parse_name(name).is_some_and(|found| found < (keep.index, keep.unique))
}

/// Removes what unfinished writers of an earlier process left, and makes what it finished durable. Call it
/// at start, before [`latest`] is trusted and before any writer is made.
///
/// # Errors
/// [`SnapshotError::Io`].
pub fn remove_unfinished<V: Vfs>(vfs: &V, dir: &Path) -> Result<(), SnapshotError> {
    remove_matching(vfs, dir, |name| name.strip_suffix(".tmp").is_some_and(|name| parse_name(name).is_some()))
}

fn remove_matching<V: Vfs>(vfs: &V, dir: &Path, matches: impl Fn(&str) -> bool) -> Result<(), SnapshotError> {
    let names = vfs.list(dir).map_err(SnapshotError::io(dir))?;
    for name in names.iter().filter(|name| matches(name)) {
        let path = dir.join(name);
        vfs.remove_file(&path).map_err(SnapshotError::io(&path))?;
    }
    if planted(Bug::SnapshotNameNotSynced) {
        return Ok(());
    }
    vfs.sync_dir(dir).map_err(SnapshotError::io(dir))
}

fn file_name(index: u64, unique: u32) -> String {
    format!("snapshot-{index:016x}-{unique:08x}.snap")
}

/// Index and unique part of a snapshot's name; `None` for other files.
fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (index, unique) = name.strip_prefix("snapshot-")?.strip_suffix(".snap")?.split_once('-')?;
    let parsed = (u64::from_str_radix(index, 16).ok()?, u32::from_str_radix(unique, 16).ok()?);
    (file_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// A block's checksum; the number keeps blocks from being swapped unseen.
fn block_checksum(number: u64, length: u32, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}

/// The footer of a file with so many blocks, whose checksums in their order have this checksum.
fn footer(blocks: u64, total_crc: u32) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    footer[0..4].copy_from_slice(&FOOTER_MARK.to_le_bytes());
    footer[8..16].copy_from_slice(&blocks.to_le_bytes());
    footer[16..20].copy_from_slice(&total_crc.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&footer[..4]), &footer[8..]);
    footer[4..8].copy_from_slice(&crc.to_le_bytes());
    footer
}

/// The header of a file with this meta.
fn header(meta: &[u8], meta_bytes: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[8..12].copy_from_slice(&meta_bytes.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), meta);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}
