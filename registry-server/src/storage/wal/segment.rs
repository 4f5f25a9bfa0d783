//! Segments: files of one size, zero-filled before they are used, named by their number.
//!
//! A segment counts only after its zeros and its directory entry are synced.

use std::io;
use std::path::{Path, PathBuf};

use crate::storage::vfs::{OpenMode, Vfs, VfsFile};

/// A segment's file. Readers share it, so it stays readable after its name was removed.
pub(super) struct Segment<F> {
    /// Its number: 1 for a log's first segment, then without gaps.
    pub(super) number: u32,
    /// Its size in bytes.
    pub(super) capacity: u64,
    pub(super) path: PathBuf,
    pub(super) file: F,
}

impl<F: VfsFile> Segment<F> {
    /// Makes a segment durably; when that fails, what was made of it is removed, so that no space stays
    /// taken. Blocks while `capacity` bytes of zeros are written and synced.
    pub(super) fn create<V: Vfs<File = F>>(vfs: &V, dir: &Path, number: u32, capacity: u64) -> io::Result<Self> {
        let path = dir.join(segment_name(number));
        let file = match vfs.open(&path, OpenMode::CreateNew) {
            // Left by an attempt whose removal failed; nothing was ever written to it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                vfs.remove_file(&path)?;
                vfs.open(&path, OpenMode::CreateNew)?
            }
            opened => opened?,
        };
        match file.allocate(capacity).and_then(|()| vfs.sync_dir(dir)) {
            Ok(()) => Ok(Self { number, capacity, path, file }),
            Err(error) => {
                drop(file);
                if let Err(error) = vfs.remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished log segment");
                }
                Err(error)
            }
        }
    }

    /// Opens a segment that is there.
    pub(super) fn open<V: Vfs<File = F>>(vfs: &V, dir: &Path, number: u32) -> io::Result<Self> {
        let path = dir.join(segment_name(number));
        let file = vfs.open(&path, OpenMode::ReadWrite)?;
        let capacity = file.len()?;
        Ok(Self { number, capacity, path, file })
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
