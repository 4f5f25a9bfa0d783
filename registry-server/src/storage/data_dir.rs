//! The data directory: made, checked and locked before anything in it is read.
//!
//! ```text
//! <data-dir>/LOCK          held for the process' life
//! <data-dir>/FORMAT        the version of this layout
//! <data-dir>/member/wal    or elsewhere, with a LOCK of its own
//! <data-dir>/member/snap
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::vfs::{OpenMode, Vfs, VfsFile};

/// The version of the layout that this program writes, and the newest that it reads.
const LAYOUT_VERSION: u32 = 1;

/// The first word of the `FORMAT` file.
const FORMAT_NAME: &str = "registry-data";

/// No `FORMAT` file is longer than this, in bytes.
const MAX_FORMAT_BYTES: u64 = 128;

/// An error of the data directory; each is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error("the data directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error("cannot use the data directory {}: {source}", dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "the data directory {} has layout version {version}, this program knows {LAYOUT_VERSION}: use the newer \
         program that wrote it",
        dir.display()
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its version.
        version: u32,
    },
    /// It holds something that is not ours.
    #[error("the directory {} is not a data directory of this program: {reason}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        reason: &'static str,
    },
}

/// An open data directory. The locks are held until it is dropped.
pub struct DataDir<V: Vfs> {
    root: PathBuf,
    wal_dir: PathBuf,
    snap_dir: PathBuf,
    is_new: bool,
    _locks: Vec<V::Lock>,
}

impl<V: Vfs> DataDir<V> {
    /// Opens a data directory or makes it, with mode 0700; the write-ahead log may lie in a directory of its
    /// own. An existing directory that others may enter is warned about and left as it is.
    ///
    /// # Errors
    /// [`DataDirError`], each naming the directory.
    pub fn open(vfs: &V, root: &Path, wal_dir: Option<&Path>) -> Result<Self, DataDirError> {
        let snap_dir = root.join("member").join("snap");
        let wal_dir = wal_dir.map_or_else(|| root.join("member").join("wal"), Path::to_owned);
        let mut locks = vec![enter(vfs, root)?];
        let is_new = check_format(vfs, root)?;
        for dir in [&wal_dir, &snap_dir] {
            vfs.create_dir_all(dir).map_err(unusable(dir))?;
        }
        if !wal_dir.starts_with(root) {
            locks.push(enter(vfs, &wal_dir)?);
        }
        Ok(Self { root: root.to_owned(), wal_dir, snap_dir, is_new, _locks: locks })
    }

    /// Locks a directory that is to become a data directory, and is to have been made into one before anybody opens it:
    /// see [`DataDir::format`]. The lock is to be dropped before [`DataDir::open`].
    ///
    /// # Errors
    /// [`DataDirError::InUse`], [`DataDirError::Unusable`].
    pub fn lock(vfs: &V, dir: &Path) -> Result<V::Lock, DataDirError> {
        enter(vfs, dir)
    }

    /// Whether a directory says that it is a data directory of this program, of whatever version. One that is not there
    /// does not.
    ///
    /// # Errors
    /// [`DataDirError::Unusable`].
    pub fn is_formatted(vfs: &V, root: &Path) -> Result<bool, DataDirError> {
        match vfs.list(root) {
            Ok(names) => Ok(names.iter().any(|name| name == "FORMAT")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unusable(root)(error)),
        }
    }

    /// Makes a locked directory whose files were all written a data directory: the last step of it.
    ///
    /// # Errors
    /// [`DataDirError::Unusable`].
    pub fn format(vfs: &V, root: &Path) -> Result<(), DataDirError> {
        let names = vfs.list(root).map_err(unusable(root))?;
        write_format(vfs, root, &names).map_err(unusable(root))
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the write-ahead log is.
    #[must_use]
    pub fn wal_dir(&self) -> &Path {
        &self.wal_dir
    }

    /// Where the snapshots are.
    #[must_use]
    pub fn snap_dir(&self) -> &Path {
        &self.snap_dir
    }

    /// Whether this call made it. A start that was interrupted may have made it before: whether a member
    /// lives here is told by its log and snapshots.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }
}

impl<V: Vfs> std::fmt::Debug for DataDir<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDir").field("root", &self.root).field("wal_dir", &self.wal_dir).finish_non_exhaustive()
    }
}

/// Makes a directory when it is missing, looks at its mode, and locks it.
fn enter<V: Vfs>(vfs: &V, dir: &Path) -> Result<V::Lock, DataDirError> {
    vfs.create_dir_all(dir).map_err(unusable(dir))?;
    let mode = vfs.dir_mode(dir).map_err(unusable(dir))?;
    if mode & 0o077 != 0 {
        let mode = format!("{mode:o}");
        tracing::warn!(dir = %dir.display(), %mode, "other users can enter the data directory; set its mode to 700");
    }
    vfs.try_lock(&dir.join("LOCK")).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => DataDirError::InUse { dir: dir.to_owned() },
        _ => DataDirError::Unusable { dir: dir.to_owned(), source },
    })
}

/// Checks the layout's version, or writes it to a new directory; answers whether it was new.
fn check_format<V: Vfs>(vfs: &V, root: &Path) -> Result<bool, DataDirError> {
    let foreign = |reason| DataDirError::Foreign { dir: root.to_owned(), reason };
    let names = vfs.list(root).map_err(unusable(root))?;
    if !names.iter().any(|name| name == "FORMAT") {
        // Another program's data (etcd has the same layout) is never written into.
        if names.iter().any(|name| name == "member") {
            return Err(foreign("it has a directory `member` but no file `FORMAT`"));
        }
        write_format(vfs, root, &names).map_err(unusable(root))?;
        return Ok(true);
    }
    let text = read_format(vfs, root).map_err(unusable(root))?;
    let version = text.as_deref().and_then(|text| text.strip_prefix(FORMAT_NAME)?.trim().parse().ok());
    match version {
        Some(LAYOUT_VERSION) => Ok(false),
        Some(version) if version > LAYOUT_VERSION => Err(DataDirError::Newer { dir: root.to_owned(), version }),
        Some(_) | None => Err(foreign("its file `FORMAT` cannot be read")),
    }
}

/// Writes the `FORMAT` file so that it is there whole or not at all.
fn write_format<V: Vfs>(vfs: &V, root: &Path, names: &[String]) -> io::Result<()> {
    let unfinished = root.join("FORMAT.tmp");
    if names.iter().any(|name| name == "FORMAT.tmp") {
        vfs.remove_file(&unfinished)?;
    }
    let file = vfs.open(&unfinished, OpenMode::CreateNew)?;
    file.write_all_at(format!("{FORMAT_NAME} {LAYOUT_VERSION}\n").as_bytes(), 0)?;
    file.sync_all()?;
    vfs.rename(&unfinished, &root.join("FORMAT"))?;
    vfs.sync_dir(root)
}

fn read_format<V: Vfs>(vfs: &V, root: &Path) -> io::Result<Option<String>> {
    let file = vfs.open(&root.join("FORMAT"), OpenMode::Read)?;
    let length = file.len()?;
    if length > MAX_FORMAT_BYTES {
        return Ok(None);
    }
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 0)?;
    Ok(String::from_utf8(text).ok())
}

fn unusable(dir: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    |source| DataDirError::Unusable { dir: dir.to_owned(), source }
}

#[cfg(test)]
mod tests;
