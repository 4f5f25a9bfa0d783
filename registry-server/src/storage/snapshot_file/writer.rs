//! Writing a snapshot file.

use std::io;
use std::path::{Path, PathBuf};

use super::{MAX_BLOCK_BYTES, SnapshotError, SnapshotFile, block_checksum, file_name, footer, header, parse_name};
use crate::storage::vfs::{OpenMode, Vfs, VfsFile};
use crate::types::planted::{Bug, planted};

/// How much is gathered before it is written and synced, in bytes. Synced all at once in the end, a large snapshot would
/// keep the disk from the log's small syncs for seconds; in pieces of 8 MiB it did so for 27 ms each, of 1 MiB for 0.9 ms.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes one snapshot file. Dropping it unfinished removes what was written.
pub struct SnapshotWriter<V: Vfs> {
    vfs: V,
    file: V::File,
    unfinished: Unfinished<V>,
    target: SnapshotFile,
    buffer: Vec<u8>,
    blocks: u64,
    total_crc: u32,
}

/// The `.tmp` name; removed on drop while it is there.
struct Unfinished<V: Vfs> {
    vfs: V,
    dir: PathBuf,
    path: PathBuf,
    renamed: bool,
}

impl<V: Vfs> SnapshotWriter<V> {
    /// Begins a snapshot of all entries up to `index` in `dir`; `meta` is given back by the reader.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::TooLarge`].
    pub fn create(vfs: V, dir: &Path, index: u64, meta: &[u8]) -> Result<Self, SnapshotError> {
        let meta_bytes = checked_length(meta)?;
        let (file, unique, path) = create_unfinished(&vfs, dir, index)?;
        let unfinished = Unfinished { vfs: vfs.clone(), dir: dir.to_owned(), path, renamed: false };
        let target = SnapshotFile { path: dir.join(file_name(index, unique)), index, bytes: 0, unique };
        let mut buffer = Vec::new();
        buffer.extend_from_slice(&header(meta, meta_bytes));
        buffer.extend_from_slice(meta);
        Ok(Self { vfs, file, unfinished, target, buffer, blocks: 0, total_crc: 0 })
    }

    /// What was written and synced so far, in bytes.
    #[must_use]
    pub fn synced_bytes(&self) -> u64 {
        self.target.bytes
    }

    /// Where it will be once it counts.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    /// Adds a block.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], after which the snapshot is to be dropped; [`SnapshotError::TooLarge`].
    pub fn write_block(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let length = checked_length(bytes)?;
        let crc = block_checksum(self.blocks, length, bytes);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        self.blocks += 1;
        self.total_crc = crc32c::crc32c_append(self.total_crc, &crc.to_le_bytes());
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes the snapshot count: footer, sync, rename, sync of the directory, in this order.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]; the snapshot does not count then, though its name may be there.
    pub fn finish(mut self) -> Result<SnapshotFile, SnapshotError> {
        self.buffer.extend_from_slice(&footer(self.blocks, self.total_crc));
        self.write()?;
        if !planted(Bug::SnapshotNotSynced) {
            self.file.sync_all().map_err(SnapshotError::io(&self.unfinished.path))?;
        }
        self.vfs.rename(&self.unfinished.path, &self.target.path).map_err(SnapshotError::io(&self.unfinished.path))?;
        self.unfinished.renamed = true;
        if planted(Bug::SnapshotNameNotSynced) {
            return Ok(self.target);
        }
        self.vfs.sync_dir(&self.unfinished.dir).map_err(SnapshotError::io(&self.unfinished.dir))?;
        Ok(self.target)
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        self.write()?;
        self.file.sync_data().map_err(SnapshotError::io(&self.unfinished.path))
    }

    fn write(&mut self) -> Result<(), SnapshotError> {
        let written = self.file.write_all_at(&self.buffer, self.target.bytes);
        written.map_err(SnapshotError::io(&self.unfinished.path))?;
        self.target.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl<V: Vfs> std::fmt::Debug for SnapshotWriter<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<V: Vfs> Drop for Unfinished<V> {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(error) = self.vfs.remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished snapshot");
        }
    }
}

/// Opens a new `.tmp` file whose unique part is greater than that of any snapshot of the same index.
fn create_unfinished<V: Vfs>(vfs: &V, dir: &Path, index: u64) -> Result<(V::File, u32, PathBuf), SnapshotError> {
    let names = vfs.list(dir).map_err(SnapshotError::io(dir))?;
    let taken = names.iter().filter_map(|name| parse_name(name.strip_suffix(".tmp").unwrap_or(name)));
    let newest = taken.filter(|(found, _)| *found == index).map(|(_, unique)| unique).max();
    let mut unique = newest.map_or(0, |newest| newest.saturating_add(1));
    loop {
        let path = dir.join(format!("{}.tmp", file_name(index, unique)));
        match vfs.open(&path, OpenMode::CreateNew) {
            Ok(file) => return Ok((file, unique, path)),
            // Another writer of the same index took the name meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && unique < u32::MAX => unique += 1,
            Err(source) => return Err(SnapshotError::Io { path, source }),
        }
    }
}

fn checked_length(bytes: &[u8]) -> Result<u32, SnapshotError> {
    let too_large = SnapshotError::TooLarge { bytes: bytes.len() };
    if bytes.len() > MAX_BLOCK_BYTES {
        return Err(too_large);
    }
    u32::try_from(bytes.len()).map_err(|_| too_large)
}
