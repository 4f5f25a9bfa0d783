//! The file-system seam: everything in `storage` reads and writes files through it.
//!
//! [`StdVfs`](super::StdVfs) is the machine's own file system; [`MemVfs`](super::MemVfs) keeps files in
//! memory and can lose what was not synced. All calls block, so they are made on executor lanes or before
//! the node starts.

use std::io;
use std::path::Path;
use std::time::Duration;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read only.
    Read,
    /// An existing file, to read and write.
    ReadWrite,
    /// A new file, to read and write; fails with `AlreadyExists` when the name is taken.
    CreateNew,
}

/// What tells without reading whether a file was changed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Which file it is: the file system and its number there.
    pub file: (u64, u64),
    /// Its length in bytes.
    pub length: u64,
    /// When it or what is known of it was changed last, on the file system's clock.
    pub changed_after_epoch: Duration,
}

/// A file system.
pub trait Vfs: Clone + Send + Sync + 'static {
    /// An open file.
    type File: VfsFile;
    /// A held lock; dropping it releases the lock.
    type Lock: Send + Sync + 'static;

    /// Creates a directory and its missing parents, each with mode 0700, and syncs each new entry into its
    /// parent. A directory that exists stays as it is.
    ///
    /// # Errors
    /// Those of the file system.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file. A new file's directory entry is durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` and the file system's own.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Self::File>;

    /// Renames a file, replacing what has the new name. Durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Cuts up to `bytes` off the end of a file that is about to be removed, and says how many it has left; 0 if somebody
    /// reads it, who keeps what he reads. To give the room of a large file back all at once keeps the disk from others:
    /// 260 MiB on ext4 made syncs of another file wait for 20 ms, and steps of 4 MiB for 1.5 ms.
    ///
    /// # Errors
    /// Those of the file system.
    fn shrink(&self, _path: &Path, _bytes: u64) -> io::Result<u64> {
        Ok(0)
    }

    /// The names in a directory, sorted; names that are not UTF-8 are left out, as none of ours is such.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory's entries durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive advisory lock on a file, which is created when it is missing.
    ///
    /// # Errors
    /// `WouldBlock` when someone else holds it, and those of the file system.
    fn try_lock(&self, path: &Path) -> io::Result<Self::Lock>;

    /// What tells whether a file was changed; none where the file system does not know.
    ///
    /// # Errors
    /// Those of the file system.
    fn stamp(&self, _path: &Path) -> io::Result<Option<FileStamp>> {
        Ok(None)
    }

    /// A directory's permission bits (the low nine).
    ///
    /// # Errors
    /// Those of the file system.
    fn dir_mode(&self, dir: &Path) -> io::Result<u32>;
}

/// An open file. Positions are bytes from its beginning.
pub trait VfsFile: Send + Sync + 'static {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end, and those of the file system.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`, growing the file when needed.
    ///
    /// # Errors
    /// `StorageFull` and those of the file system; part of it may have been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the written data durable, and the metadata that is needed to read it back.
    ///
    /// # Errors
    /// Those of the file system. After one, what is on the disk is unknown: never try again.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes data and all metadata durable.
    ///
    /// # Errors
    /// As for [`VfsFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes a new file `bytes` long by writing zeros, and syncs it. Blocks and length are then settled, so a
    /// later `sync_data` of data inside writes no metadata (76 µs instead of 148 at the median).
    ///
    /// # Errors
    /// `StorageFull` and those of the file system.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}
