//! The machine's own file system behind the [`Vfs`] seam; the only place in the server that calls `std::fs`.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use super::vfs::{FileStamp, OpenMode, Vfs, VfsFile};

/// How much zero is written and synced at once when a file is allocated, in bytes. A segment of the log synced all at once
/// kept the disk from the log's own syncs for 20 ms.
const ZERO_CHUNK_BYTES: usize = 256 << 10;

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdVfs;

/// An open file of the machine.
#[derive(Debug)]
pub struct StdFile(File);

/// A lock on a file, held by this open file description; the kernel drops it with the process.
#[derive(Debug)]
pub struct StdLock {
    _file: File,
}

impl Vfs for StdVfs {
    type File = StdFile;
    type Lock = StdLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().unwrap_or(Path::new(""));
        self.create_dir_all(parent)?;
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => self.sync_dir(parent),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<FileStamp>> {
        let known = std::fs::metadata(path)?;
        let changed = Duration::new(known.ctime().try_into().unwrap_or(0), known.ctime_nsec().try_into().unwrap_or(0));
        Ok(Some(FileStamp { file: (known.dev(), known.ino()), length: known.len(), changed_after_epoch: changed }))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<StdFile> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path)?;
        if mode == OpenMode::Read {
            // Tells `shrink`, where the file system knows locks; nobody else locks a file that is read.
            file.try_lock_shared().ok();
        }
        Ok(StdFile(file))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam's own implementation")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam's own implementation")]
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn shrink(&self, path: &Path, bytes: u64) -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(0),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let left = file.metadata()?.len().saturating_sub(bytes);
        file.set_len(left)?;
        Ok(left)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam's own implementation")]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // The parent of a bare relative name is "", which stands for the working directory.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir)?.sync_all()
    }

    fn try_lock(&self, path: &Path) -> io::Result<StdLock> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(StdLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn dir_mode(&self, dir: &Path) -> io::Result<u32> {
        Ok(std::fs::metadata(dir)?.permissions().mode() & 0o777)
    }
}

impl VfsFile for StdFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        reserve(&self.0, bytes)?;
        let zeros = vec![0; ZERO_CHUNK_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let chunk = (bytes - offset).min(ZERO_CHUNK_BYTES as u64);
            self.0.write_all_at(&zeros[..chunk as usize], offset)?;
            self.0.sync_data()?;
            offset += chunk;
        }
        self.0.sync_all()
    }
}

/// Claims the blocks first, so that a full disk is told at once and not after megabytes of zeros. Blocks
/// that are only claimed still cost a metadata write at their first use, hence the zeros afterwards.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _bytes: u64) -> io::Result<()> {
    Ok(())
}
