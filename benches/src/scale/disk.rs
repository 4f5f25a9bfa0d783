//! What a data directory takes on the disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

/// The unit of `st_blocks`, whatever the file system's own.
const BLOCK_BYTES: u64 = 512;

/// The files of a directory, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// What is allocated to them, as `du` counts it; holes take nothing.
    pub allocated_bytes: u64,
    /// Their lengths.
    pub apparent_bytes: u64,
    /// How many files there are.
    pub files: u64,
}

impl DiskUsage {
    /// Adds up all files below `directory`. Blocking; a file that goes away meanwhile is not counted.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let mut usage = Self::default();
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                    Ok(metadata) => usage.add(&metadata),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(usage)
    }

    fn add(&mut self, file: &fs::Metadata) {
        self.allocated_bytes += file.blocks() * BLOCK_BYTES;
        self.apparent_bytes += file.len();
        self.files += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files of a test")]
    fn files_of_all_depths_are_added_up_and_holes_take_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/full"), vec![7; 8_192]).unwrap();
        fs::File::create(dir.path().join("a/hole")).unwrap().set_len(1 << 20).unwrap();
        let usage = DiskUsage::of(dir.path()).unwrap();
        assert_eq!((usage.files, usage.apparent_bytes), (2, (1 << 20) + 8_192));
        assert!(usage.allocated_bytes < 1 << 20, "{usage:?}");
    }
}
