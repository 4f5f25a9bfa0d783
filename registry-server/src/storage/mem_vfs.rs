//! A file system in memory that knows what was synced, for tests and simulation.
//!
//! Data that was written and not synced, and directory entries that were changed and not synced, are kept
//! apart: [`MemVfs::crash`] gives the file system as a power loss may leave it. Faults are injected by hand:
//! a failing sync or write, a full disk, a machine that stops after so many changes. Directories themselves are
//! durable at once, as [`Vfs::create_dir_all`] promises.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::vfs::{OpenMode, Vfs, VfsFile};

/// The unit that a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// A file system in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemVfs(Arc<Mutex<Disk>>);

/// An open file of a [`MemVfs`]; usable after its name was removed, as on Unix.
pub struct MemFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
}

/// A held lock of a [`MemVfs`].
pub struct MemLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

/// Something that was not synced when the power went: kept or lost as the caller of
/// [`MemVfs::crash_with`] chooses.
#[derive(Debug, Clone, Copy)]
pub enum Unsynced<'a> {
    /// A 512-byte sector of a file, by its number.
    Sector {
        /// The file, by the name that leads to it now.
        path: &'a Path,
        /// The sector's number in the file.
        sector: u64,
    },
    /// A name that was created, removed or renamed (then the new name).
    Entry {
        /// The name.
        path: &'a Path,
    },
}

/// Which syncs in a directory are to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// Those of its files.
    Files,
    /// Those of its entries.
    Entries,
}

#[derive(Default)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since their directory's last sync, in order.
    changes: Vec<NameChange>,
    dirs: BTreeMap<PathBuf, u32>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors whose live bytes were not synced.
    dirty: BTreeSet<u64>,
    /// Sectors whose sync has failed: on the disk or not, and no later sync writes them.
    failed: BTreeSet<u64>,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Faults {
    fail_next_sync: bool,
    fail_next_write: bool,
    /// Where syncs of files fail, and where those of the directory itself.
    unsyncable: Option<(PathBuf, Syncs)>,
    panic_at_next_sync: bool,
    /// What creating a file fails with.
    create_error: Option<io::ErrorKind>,
    capacity_bytes: Option<u64>,
    /// Changes that still succeed before the machine stops.
    changes_left: Option<u64>,
}

impl MemVfs {
    /// An empty file system without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there after a power loss that kept only what was synced.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.crash_with(|_| false)
    }

    /// What is there after a power loss that also kept what `keep` says of each unsynced change. Sectors of
    /// files whose name is lost are not asked for. Locks and faults are gone.
    #[must_use]
    pub fn crash_with(&self, mut keep: impl FnMut(Unsynced<'_>) -> bool) -> Self {
        let disk = self.0.lock();
        let mut names = disk.durable_names.clone();
        for change in &disk.changes {
            if keep(Unsynced::Entry { path: change.path() }) {
                change.apply(&mut names);
            }
        }
        let mut inodes = BTreeMap::new();
        for (path, id) in &names {
            let survived = disk.inodes[id].crash(|sector| keep(Unsynced::Sector { path, sector }));
            inodes.insert(*id, survived);
        }
        Self(Arc::new(Mutex::new(Disk {
            inodes,
            next_inode: disk.next_inode,
            durable_names: names.clone(),
            names,
            dirs: disk.dirs.clone(),
            ..Disk::default()
        })))
    }

    /// What is there after the end of all processes that used it, which the kernel outlives: everything but their locks. They
    /// themselves change nothing of it any more.
    #[must_use]
    pub fn let_go(&self) -> Self {
        let disk = self.0.lock();
        Self(Arc::new(Mutex::new(Disk {
            inodes: disk.inodes.clone(),
            next_inode: disk.next_inode,
            names: disk.names.clone(),
            durable_names: disk.durable_names.clone(),
            changes: disk.changes.clone(),
            dirs: disk.dirs.clone(),
            ..Disk::default()
        })))
    }

    /// Makes the next sync of a file fail. What was written can be read until a power loss, and no later sync makes it
    /// durable.
    pub fn fail_next_sync(&self) {
        self.0.lock().faults.fail_next_sync = true;
    }

    /// Makes the next write of a file fail, leaving it as it was.
    pub fn fail_next_write(&self) {
        self.0.lock().faults.fail_next_write = true;
    }

    /// Makes all syncs of a directory's files, or of its entries, fail; `None` ends that.
    pub fn set_unsyncable(&self, syncs: Option<(&Path, Syncs)>) {
        self.0.lock().faults.unsyncable = syncs.map(|(dir, syncs)| (dir.to_owned(), syncs));
    }

    /// Makes the next sync of a file panic, as a bug of ours would.
    pub fn panic_at_next_sync(&self) {
        self.0.lock().faults.panic_at_next_sync = true;
    }

    /// Makes the creation of files fail with an error, as when no file descriptor is left; `None` ends that.
    pub fn set_create_error(&self, error: Option<io::ErrorKind>) {
        self.0.lock().faults.create_error = error;
    }

    /// Bounds the sum of all file lengths, in bytes; `None` lifts the bound. Growing past it fails with
    /// `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().faults.capacity_bytes = bytes;
    }

    /// The sum of all file lengths, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Stops the machine after `changes` more writes, syncs and changes of names: all later ones fail and
    /// do nothing.
    pub fn stop_after(&self, changes: u64) {
        self.0.lock().faults.changes_left = Some(changes);
    }

    /// Sets a directory's permission bits.
    pub fn set_dir_mode(&self, dir: &Path, mode: u32) {
        self.0.lock().dirs.insert(dir.to_owned(), mode);
    }

    /// Flips the bits of `mask` in one byte of a file, on the disk too.
    ///
    /// # Errors
    /// `NotFound`, and `UnexpectedEof` past the end.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut disk = self.0.lock();
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = disk.inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        *inode.live.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)? ^= mask;
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= mask;
        }
        Ok(())
    }

    /// Cuts a file to `bytes`, on the disk too.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut disk = self.0.lock();
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = disk.inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        inode.live.truncate(length);
        inode.durable.truncate(length);
        Ok(())
    }
}

impl Disk {
    /// Counts one change against the machine's life.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.faults.changes_left {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|id| self.inodes[id].live.len() as u64).sum()
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.dirs.contains_key(parent) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        self.parent_exists(path)?;
        if let Some(error) = self.faults.create_error {
            return Err(error.into());
        }
        self.change()?;
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        self.record(NameChange::Create(path.to_owned(), id));
        Ok(id)
    }

    fn record(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn sync_inode(&mut self, id: u64) -> io::Result<()> {
        self.change()?;
        let unsyncable = matches!(&self.faults.unsyncable, Some((dir, Syncs::Files))
            if self.names.iter().any(|(path, named)| *named == id && path.parent() == Some(dir)));
        let fails = std::mem::take(&mut self.faults.fail_next_sync) || unsyncable;
        assert!(!std::mem::take(&mut self.faults.panic_at_next_sync), "injected panic");
        let inode = self.inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            // As Linux does it: what could not be written counts as clean, so a later sync passes over it.
            inode.failed.append(&mut inode.dirty);
            return Err(io::Error::other("injected sync failure"));
        }
        inode.sync();
        Ok(())
    }
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            Self::Create(path, _) | Self::Remove(path) | Self::Rename(_, path) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Create(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            // The old name may be missing when an earlier change was lost.
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Inode {
    fn write(&mut self, buf: &[u8], offset: usize) {
        let end = offset + buf.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(buf);
        let sectors = (offset / SECTOR_BYTES) as u64..end.div_ceil(SECTOR_BYTES) as u64;
        self.failed.retain(|sector| !sectors.contains(sector));
        self.dirty.extend(sectors);
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            Self::copy_sector(&self.live, &mut self.durable, sector);
        }
    }

    fn crash(&self, mut keep: impl FnMut(u64) -> bool) -> Self {
        let mut kept = self.durable.clone();
        for sector in self.dirty.union(&self.failed).copied().filter(|sector| keep(*sector)) {
            Self::copy_sector(&self.live, &mut kept, sector);
        }
        Self { live: kept.clone(), durable: kept, ..Self::default() }
    }

    fn copy_sector(from: &[u8], to: &mut Vec<u8>, sector: u64) {
        let start = sector as usize * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(from.len());
        if to.len() < end {
            to.resize(end, 0);
        }
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

impl Vfs for MemVfs {
    type File = MemFile;
    type Lock = MemLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        if dir.ancestors().any(|part| disk.names.contains_key(part)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        disk.change()?;
        for part in dir.ancestors() {
            disk.dirs.entry(part.to_owned()).or_insert(0o700);
        }
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<MemFile> {
        let mut disk = self.0.lock();
        let existing = disk.names.get(path).copied();
        let inode = match (mode, existing) {
            (OpenMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew, None) => disk.create(path)?,
            (OpenMode::Read | OpenMode::ReadWrite, Some(inode)) => inode,
            (OpenMode::Read | OpenMode::ReadWrite, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(MemFile { disk: self.0.clone(), inode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        if !disk.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.parent_exists(to)?;
        disk.change()?;
        disk.record(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change()?;
        disk.record(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.0.lock();
        if !disk.dirs.contains_key(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = disk.names.keys().chain(disk.dirs.keys()).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> = paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.change()?;
        if disk.faults.unsyncable == Some((dir.to_owned(), Syncs::Entries)) {
            return Err(io::Error::other("injected sync failure"));
        }
        let changes = std::mem::take(&mut disk.changes);
        let (synced, waiting): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.path().parent() == Some(dir));
        for change in &synced {
            change.apply(&mut disk.durable_names);
        }
        disk.changes = waiting;
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<MemLock> {
        let mut disk = self.0.lock();
        if !disk.names.contains_key(path) {
            disk.create(path)?;
        }
        if !disk.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(MemLock { disk: self.0.clone(), path: path.to_owned() })
    }

    fn dir_mode(&self, dir: &Path) -> io::Result<u32> {
        self.0.lock().dirs.get(dir).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl VfsFile for MemFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let disk = self.disk.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = disk.inodes[&self.inode].live.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        if std::mem::take(&mut disk.faults.fail_next_write) {
            return Err(io::Error::other("injected write failure"));
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset.checked_add(buf.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let growth = end.saturating_sub(disk.inodes[&self.inode].live.len() as u64);
        let full = disk.faults.capacity_bytes.is_some_and(|capacity| disk.used_bytes() + growth > capacity);
        if growth > 0 && full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = disk.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        inode.write(buf, start);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().sync_inode(self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.lock().sync_inode(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[&self.inode].live.len() as u64)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        self.write_all_at(&zeros, 0)?;
        self.sync_all()
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}
