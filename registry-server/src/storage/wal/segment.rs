//! Segments: files of one size, zero-filled before they are used, named by their number.
//!
//! A segment begins with a header, alone in its sector, that holds its salt. It counts only after its zeros,
//! its header and its directory entry are synced.

use std::io;
use std::path::{Path, PathBuf};

use super::batch::{ALIGN_BYTES, FORMAT_VERSION};
use crate::storage::vfs::{OpenMode, Vfs, VfsFile};

/// Where the first batch begins: the header has a sector of its own, so no later write can tear it.
pub(super) const FIRST_BATCH_OFFSET: u64 = ALIGN_BYTES as u64;

/// Magic (4), format version (4), number (4), salt (8), CRC (4).
const HEADER_BYTES: usize = 24;

const MAGIC: [u8; 4] = *b"RSEG";

/// A segment's file. Readers share it, so it stays readable after its name was removed.
pub(super) struct Segment<F> {
    /// Its number: 1 for a log's first segment, then without gaps.
    pub(super) number: u32,
    /// What each of its batch headers carries: a number that no client knows.
    pub(super) salt: u64,
    /// Its size in bytes.
    pub(super) capacity: u64,
    pub(super) path: PathBuf,
    pub(super) file: F,
}

/// What opening a segment found where its header belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// The header.
    Whole,
    /// A header of another format version.
    OtherVersion(u32),
    /// No header of this segment: it was not finished, or is damaged.
    Missing,
}

impl<F: VfsFile> Segment<F> {
    /// Makes a segment durably; when that fails, what was made of it is removed, so that no space stays
    /// taken. Blocks while `capacity` bytes of zeros are written and synced.
    pub(super) fn create<V: Vfs<File = F>>(
        vfs: &V,
        dir: &Path,
        number: u32,
        capacity: u64,
        salt: u64,
    ) -> io::Result<Self> {
        let path = dir.join(segment_name(number));
        let file = match vfs.open(&path, OpenMode::CreateNew) {
            // Left by an attempt whose removal failed; no batch was ever written to it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                vfs.remove_file(&path)?;
                vfs.open(&path, OpenMode::CreateNew)?
            }
            opened => opened?,
        };
        match fill(&file, number, capacity, salt).and_then(|()| vfs.sync_dir(dir)) {
            Ok(()) => Ok(Self { number, salt, capacity, path, file }),
            Err(error) => {
                drop(file);
                // The next attempt removes it first; whoever looks for room says why there is none.
                if let Err(error) = vfs.remove_file(&path) {
                    tracing::debug!(path = %path.display(), %error, "cannot remove an unfinished log segment");
                }
                Err(error)
            }
        }
    }

    /// Opens a segment that is there; its salt means something only when its header is whole.
    pub(super) fn open<V: Vfs<File = F>>(vfs: &V, dir: &Path, number: u32) -> io::Result<(Self, Header)> {
        Self::open_as(vfs, dir, number, OpenMode::ReadWrite)
    }

    /// The same, for as much as `mode` allows.
    pub(super) fn open_as<V: Vfs<File = F>>(
        vfs: &V,
        dir: &Path,
        number: u32,
        mode: OpenMode,
    ) -> io::Result<(Self, Header)> {
        let path = dir.join(segment_name(number));
        let file = vfs.open(&path, mode)?;
        let capacity = file.len()?;
        let mut bytes = [0; HEADER_BYTES];
        if capacity >= FIRST_BATCH_OFFSET {
            file.read_exact_at(&mut bytes, 0)?;
        }
        let (header, salt) = decode_header(&bytes, number);
        Ok((Self { number, salt, capacity, path, file }, header))
    }
}

/// Zeros first: only a header that is synced after them says that all of them are there.
fn fill<F: VfsFile>(file: &F, number: u32, capacity: u64, salt: u64) -> io::Result<()> {
    file.allocate(capacity)?;
    file.write_all_at(&encode_header(number, salt), 0)?;
    file.sync_data()
}

fn encode_header(number: u32, salt: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..4].copy_from_slice(&MAGIC);
    out[4..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[8..12].copy_from_slice(&number.to_le_bytes());
    out[12..20].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c::crc32c(&out[..20]);
    out[20..24].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode_header(bytes: &[u8; HEADER_BYTES], number: u32) -> (Header, u64) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let salt = u64::from_le_bytes(bytes[12..20].try_into().expect("eight bytes"));
    let ours = bytes[..4] == MAGIC && word(20) == crc32c::crc32c(&bytes[..20]) && word(8) == number;
    match word(4) {
        _ if !ours => (Header::Missing, 0),
        FORMAT_VERSION => (Header::Whole, salt),
        version => (Header::OtherVersion(version), salt),
    }
}

/// A segment's file name.
pub(super) fn segment_name(number: u32) -> String {
    format!("wal-{number:016x}.log")
}

/// The number in a segment's file name; `None` for other files.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Removes a segment's name durably. Segments go one by one and oldest first, so that a crash leaves no gap.
pub(super) fn remove<V: Vfs>(vfs: &V, dir: &Path, number: u32) -> io::Result<()> {
    match vfs.remove_file(&dir.join(segment_name(number))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => vfs.sync_dir(dir),
    }
}
