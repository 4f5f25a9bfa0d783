//! Reading a snapshot file; every byte is verified before it is given out.
//!
//! The heads of blocks say where the next ones are, so several threads can share the rest of the work: each takes a run
//! of blocks, reads it in one piece and verifies it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    BLOCK_HEADER_BYTES, FOOTER_BYTES, FOOTER_MARK, FORMAT_VERSION, HEADER_BYTES, MAGIC, MAX_BLOCK_BYTES, SnapshotError,
    block_checksum, footer, header,
};
use crate::storage::vfs::{OpenMode, Vfs, VfsFile};

/// How many bytes of blocks make a run, which is read at once, into memory that the blocks share: it is freed with the
/// last of them.
const RUN_BYTES: u64 = 1 << 20;

/// Reads one snapshot file.
pub struct SnapshotReader<V: Vfs> {
    source: Source<V::File>,
    meta: Bytes,
    length: u64,
    offset: u64,
    blocks: u64,
    total_crc: u32,
    finished: bool,
    /// What was read of the run under way.
    ready: VecDeque<Bytes>,
}

/// Blocks that lie one behind the other, yet to be read.
pub struct Run<V: Vfs> {
    source: Source<V::File>,
    start: u64,
    end: u64,
    heads: Vec<Head>,
}

/// What stands before a block.
struct Head {
    number: u64,
    /// Where it is itself.
    start: u64,
    length: u32,
    crc: u32,
}

/// The file, shared by all who read it.
struct Source<F> {
    file: Arc<F>,
    path: Arc<Path>,
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
            source: Source { file: Arc::new(file), path: path.into() },
            meta: Bytes::new(),
            length,
            offset: 0,
            blocks: 0,
            total_crc: 0,
            finished: false,
            ready: VecDeque::new(),
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
    /// known to be whole. Nothing follows an error.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::Corrupt`].
    pub fn next_block(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        while self.ready.is_empty() {
            let Some(run) = self.next_run()? else { return Ok(None) };
            self.ready = run.read().inspect_err(|_| self.finished = true)?.into();
        }
        Ok(self.ready.pop_front())
    }

    /// The next blocks, some megabytes of them, whose reading is left to the caller; `None` behind the last. The
    /// snapshot is whole if each run is. Nothing follows an error.
    ///
    /// # Errors
    /// As [`Self::next_block`].
    pub fn next_run(&mut self) -> Result<Option<Run<V>>, SnapshotError> {
        if self.finished {
            return Ok(None);
        }
        let next = self.run();
        self.finished = !matches!(next, Ok(Some(_)));
        next
    }

    fn run(&mut self) -> Result<Option<Run<V>>, SnapshotError> {
        let start = self.offset;
        let mut heads = Vec::new();
        while self.offset - start < RUN_BYTES {
            match self.head() {
                Ok(Some(head)) => heads.push(head),
                Ok(None) if heads.is_empty() => return Ok(None),
                Err(error) if heads.is_empty() => return Err(error),
                // Found again when the next run begins with it.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Some(Run { source: self.source.clone(), start, end: self.offset, heads }))
    }

    /// Goes behind the next block; to the footer and no further if there is none.
    fn head(&mut self) -> Result<Option<Head>, SnapshotError> {
        let start = self.offset;
        let bytes = self.read(start, BLOCK_HEADER_BYTES)?;
        let (length, crc) = (word(&bytes, 0), word(&bytes, 4));
        if length == FOOTER_MARK {
            self.check_footer()?;
            return Ok(None);
        }
        if length as usize > MAX_BLOCK_BYTES {
            return Err(self.source.corrupt(start, "a block's length is out of bounds"));
        }
        let begin = start + BLOCK_HEADER_BYTES as u64;
        self.check_length(begin, length as usize)?;
        let head = Head { number: self.blocks, start, length, crc };
        self.offset = begin + u64::from(length);
        self.blocks += 1;
        self.total_crc = crc32c::crc32c_append(self.total_crc, &crc.to_le_bytes());
        Ok(Some(head))
    }

    fn read_header(&mut self) -> Result<Bytes, SnapshotError> {
        let found = self.read(0, HEADER_BYTES)?;
        if found[..4] != MAGIC {
            return Err(self.source.corrupt(0, "it does not begin as a snapshot does"));
        }
        let version = word(&found, 4);
        if version > FORMAT_VERSION {
            return Err(SnapshotError::Version { path: self.source.path.to_path_buf(), version });
        }
        let meta_bytes = word(&found, 8);
        if meta_bytes as usize > MAX_BLOCK_BYTES {
            return Err(self.source.corrupt(8, "the meta's length is out of bounds"));
        }
        let meta = self.read(HEADER_BYTES as u64, meta_bytes as usize)?;
        if found[..] != header(&meta, meta_bytes) {
            return Err(self.source.corrupt(0, "the header's checksum does not match"));
        }
        self.offset = HEADER_BYTES as u64 + u64::from(meta_bytes);
        Ok(meta)
    }

    fn check_footer(&self) -> Result<(), SnapshotError> {
        let found = self.read(self.offset, FOOTER_BYTES)?;
        if found[..] != footer(self.blocks, self.total_crc) {
            return Err(self.source.corrupt(self.offset, "the footer does not match the blocks"));
        }
        let end = self.offset + FOOTER_BYTES as u64;
        if end != self.length {
            return Err(self.source.corrupt(end, "something follows the footer"));
        }
        Ok(())
    }

    /// Nothing is allocated for a length that the file does not have.
    fn read(&self, offset: u64, bytes: usize) -> Result<Bytes, SnapshotError> {
        self.check_length(offset, bytes)?;
        self.source.read(offset, bytes)
    }

    fn check_length(&self, offset: u64, bytes: usize) -> Result<(), SnapshotError> {
        let is_there = self.length.checked_sub(offset).is_some_and(|left| bytes as u64 <= left);
        if is_there { Ok(()) } else { Err(self.source.corrupt(offset, "the file is cut short")) }
    }
}

impl<V: Vfs> Run<V> {
    /// Reads the blocks, and verifies each of them.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::Corrupt`].
    pub fn read(self) -> Result<Vec<Bytes>, SnapshotError> {
        let bytes = usize::try_from(self.end - self.start).expect("a run is some megabytes and a block");
        let memory = self.source.read(self.start, bytes)?;
        let block = |head: &Head| {
            let begin = usize::try_from(head.start - self.start).expect("the run was read") + BLOCK_HEADER_BYTES;
            let block = memory.slice(begin..begin + head.length as usize);
            if block_checksum(head.number, head.length, &block) != head.crc {
                return Err(self.source.corrupt(head.start, "a block's checksum does not match"));
            }
            Ok(block)
        };
        self.heads.iter().map(block).collect()
    }
}

impl<F> Clone for Source<F> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), path: self.path.clone() }
    }
}

impl<F: VfsFile> Source<F> {
    fn read(&self, offset: u64, bytes: usize) -> Result<Bytes, SnapshotError> {
        let mut memory = vec![0; bytes];
        self.file.read_exact_at(&mut memory, offset).map_err(SnapshotError::io(&*self.path))?;
        Ok(memory.into())
    }

    fn corrupt(&self, offset: u64, reason: &'static str) -> SnapshotError {
        SnapshotError::Corrupt { path: self.path.to_path_buf(), offset, reason }
    }
}

impl<V: Vfs> std::fmt::Debug for SnapshotReader<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReader").field("path", &self.source.path).finish_non_exhaustive()
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}
