//! Reading a snapshot file; every byte is verified before it is given out.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    BLOCK_HEADER_BYTES, FOOTER_BYTES, FOOTER_MARK, FORMAT_VERSION, HEADER_BYTES, MAGIC, MAX_BLOCK_BYTES, SnapshotError,
    block_checksum, footer, header,
};
use crate::storage::pages::Pages;
use crate::storage::vfs::{OpenMode, Vfs, VfsFile};

/// How much is read at once, in bytes. Blocks share the memory of a window, which is freed with the last of them.
const WINDOW_BYTES: usize = 4 << 20;

/// Reads one snapshot file, block by block.
pub struct SnapshotReader<V: Vfs> {
    file: V::File,
    path: PathBuf,
    meta: Bytes,
    length: u64,
    offset: u64,
    /// What was read of the file from `offset` on.
    window: Bytes,
    blocks: u64,
    total_crc: u32,
    finished: bool,
}

impl<V: Vfs> SnapshotReader<V> {
    /// Opens a snapshot and verifies its header.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::Version`], [`SnapshotError::Corrupt`].
    pub fn open(vfs: &V, path: &Path) -> Result<Self, SnapshotError> {
        let file = vfs.open(path, OpenMode::Read).map_err(SnapshotError::io(path))?;
        let length = file.len().map_err(SnapshotError::io(path))?;
        let mut reader = Self {
            file,
            path: path.to_owned(),
            meta: Bytes::new(),
            length,
            offset: 0,
            window: Bytes::new(),
            blocks: 0,
            total_crc: 0,
            finished: false,
        };
        reader.meta = reader.read_header()?;
        Ok(reader)
    }

    /// The meta bytes given to the writer.
    #[must_use]
    pub const fn meta(&self) -> &Bytes {
        &self.meta
    }

    /// The next block; `None` when all were read and the footer agrees with them. Only then is the snapshot
    /// known to be whole.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::Corrupt`].
    pub fn next_block(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        if self.finished {
            return Ok(None);
        }
        let start = self.offset;
        let head = self.take(BLOCK_HEADER_BYTES)?;
        let (length, crc) = (word(&head, 0), word(&head, 4));
        if length == FOOTER_MARK {
            self.seek(start);
            self.check_footer()?;
            self.finished = true;
            return Ok(None);
        }
        if length as usize > MAX_BLOCK_BYTES {
            return Err(self.corrupt(start, "a block's length is out of bounds"));
        }
        let bytes = self.take(length as usize)?;
        if block_checksum(self.blocks, length, &bytes) != crc {
            return Err(self.corrupt(start, "a block's checksum does not match"));
        }
        self.blocks += 1;
        self.total_crc = crc32c::crc32c_append(self.total_crc, &crc.to_le_bytes());
        Ok(Some(bytes))
    }

    fn read_header(&mut self) -> Result<Bytes, SnapshotError> {
        let found = self.take(HEADER_BYTES)?;
        if found[..4] != MAGIC {
            return Err(self.corrupt(0, "it does not begin as a snapshot does"));
        }
        let version = word(&found, 4);
        if version > FORMAT_VERSION {
            return Err(SnapshotError::Version { path: self.path.clone(), version });
        }
        let meta_bytes = word(&found, 8);
        if meta_bytes as usize > MAX_BLOCK_BYTES {
            return Err(self.corrupt(8, "the meta's length is out of bounds"));
        }
        let meta = self.take(meta_bytes as usize)?;
        if found[..] != header(&meta, meta_bytes) {
            return Err(self.corrupt(0, "the header's checksum does not match"));
        }
        Ok(meta)
    }

    fn check_footer(&mut self) -> Result<(), SnapshotError> {
        let start = self.offset;
        let found = self.take(FOOTER_BYTES)?;
        if found[..] != footer(self.blocks, self.total_crc) {
            return Err(self.corrupt(start, "the footer does not match the blocks"));
        }
        if self.offset != self.length {
            return Err(self.corrupt(self.offset, "something follows the footer"));
        }
        Ok(())
    }

    /// The next bytes of the file; nothing is allocated for a length that the file does not have.
    fn take(&mut self, bytes: usize) -> Result<Bytes, SnapshotError> {
        if bytes as u64 > self.length - self.offset {
            return Err(self.corrupt(self.offset, "the file is cut short"));
        }
        if bytes > self.window.len() {
            let len = (self.length - self.offset).min(WINDOW_BYTES.max(bytes) as u64) as usize;
            let mut window = Pages::zeroed(len);
            self.file.read_exact_at(&mut window, self.offset).map_err(SnapshotError::io(&self.path))?;
            self.window = window.into();
        }
        self.offset += bytes as u64;
        Ok(self.window.split_to(bytes))
    }

    fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.window.clear();
    }

    fn corrupt(&self, offset: u64, reason: &'static str) -> SnapshotError {
        SnapshotError::Corrupt { path: self.path.clone(), offset, reason }
    }
}

impl<V: Vfs> std::fmt::Debug for SnapshotReader<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReader").field("path", &self.path).finish_non_exhaustive()
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}
