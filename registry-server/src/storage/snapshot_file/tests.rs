//! Claims about snapshot files.

use std::path::PathBuf;

use super::super::{MemVfs, StdVfs, Syncs, Unsynced};
use super::*;

const DIR: &str = "/snap";

fn disk() -> MemVfs {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    vfs
}

fn write(vfs: &MemVfs, index: u64, blocks: &[&[u8]]) -> SnapshotFile {
    let mut writer = SnapshotWriter::create(vfs.clone(), Path::new(DIR), index, b"meta").unwrap();
    for block in blocks {
        writer.write_block(block).unwrap();
    }
    writer.finish().unwrap()
}

fn read(vfs: &MemVfs, path: &Path) -> Result<Vec<Vec<u8>>, SnapshotError> {
    let mut reader = SnapshotReader::open(vfs, path)?;
    assert_eq!(reader.meta(), &b"meta"[..]);
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block()? {
        blocks.push(block.to_vec());
    }
    Ok(blocks)
}

#[test]
fn a_finished_snapshot_survives_a_power_loss_and_reads_back() {
    let vfs = disk();
    let large = vec![7; 3 << 20];
    let file = write(&vfs, 42, &[b"first", b"", &large]);
    let vfs = vfs.crash();
    assert_eq!(latest(&vfs, Path::new(DIR)).unwrap(), Some(file.clone()));
    assert_eq!(read(&vfs, &file.path).unwrap(), [b"first".to_vec(), Vec::new(), large]);
}

#[test]
fn a_file_shrinks_step_by_step_unless_somebody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = SnapshotWriter::create(StdVfs, dir.path(), 1, b"meta").unwrap();
    writer.write_block(&[7; 1_000]).unwrap();
    let file = writer.finish().unwrap();
    let mut reader = SnapshotReader::open(&StdVfs, &file.path).unwrap();
    assert_eq!(StdVfs.shrink(&file.path, 400).unwrap(), 0);
    assert_eq!(reader.next_block().unwrap().unwrap(), vec![7; 1_000]);
    drop(reader);
    let left: Vec<_> = (0..3).map(|_| StdVfs.shrink(&file.path, 400).unwrap()).collect();
    assert_eq!(left, [file.bytes - 400, file.bytes - 800, 0]);
}

#[test]
fn runs_are_read_in_any_order_and_only_a_damaged_one_is_an_error() {
    let vfs = disk();
    let blocks: Vec<_> = (0..40_u8).map(|number| vec![number; 100_000]).collect();
    let file = write(&vfs, 1, &blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let runs = || {
        let mut reader = SnapshotReader::open(&vfs, &file.path).unwrap();
        std::iter::from_fn(|| reader.next_run().unwrap()).collect::<Vec<_>>()
    };
    let mut read: Vec<_> = runs().into_iter().rev().map(|run| run.read().unwrap()).collect();
    assert!(read.len() > 2, "several runs");
    read.reverse();
    assert_eq!(read.concat(), blocks);
    // In the last block but one.
    vfs.flip(&file.path, file.bytes - 150_000, 1).unwrap();
    let damaged: Vec<_> = runs().into_iter().map(|run| run.read().is_err()).collect();
    assert_eq!(damaged.iter().filter(|damaged| **damaged).count(), 1);
    assert!(self::read(&vfs, &file.path).is_err());
}

#[test]
fn every_truncation_is_an_error_that_names_the_file() {
    let vfs = disk();
    let file = write(&vfs, 1, &[b"one", b"two"]);
    for length in (0..file.bytes).rev() {
        vfs.truncate(&file.path, length).unwrap();
        let error = read(&vfs, &file.path).unwrap_err();
        assert!(error.to_string().contains(file.path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let vfs = disk();
    let file = write(&vfs, 1, &[b"one", b"two"]);
    for bit in 0..file.bytes * 8 {
        vfs.flip(&file.path, bit / 8, 1 << (bit % 8)).unwrap();
        assert!(read(&vfs, &file.path).is_err(), "bit {bit}");
        vfs.flip(&file.path, bit / 8, 1 << (bit % 8)).unwrap();
    }
    assert_eq!(read(&vfs, &file.path).unwrap().len(), 2);
}

#[test]
fn an_unfinished_snapshot_does_not_count_and_is_removed() {
    let vfs = disk();
    let finished = write(&vfs, 5, &[b"five"]);
    let mut left = SnapshotWriter::create(vfs.clone(), Path::new(DIR), 9, b"meta").unwrap();
    left.write_block(b"nine").unwrap();
    vfs.sync_dir(Path::new(DIR)).unwrap();
    let after_crash = vfs.crash_with(|_| true);
    assert_eq!(after_crash.list(Path::new(DIR)).unwrap().len(), 2);
    assert_eq!(latest(&after_crash, Path::new(DIR)).unwrap(), Some(finished.clone()));
    remove_unfinished(&after_crash, Path::new(DIR)).unwrap();
    assert_eq!(after_crash.list(Path::new(DIR)).unwrap().len(), 1);
    drop(left);
    assert_eq!(vfs.list(Path::new(DIR)).unwrap().len(), 1);
    assert_eq!(latest(&vfs, Path::new(DIR)).unwrap(), Some(finished));
}

#[test]
fn a_failed_sync_leaves_no_snapshot() {
    let vfs = disk();
    let writer = SnapshotWriter::create(vfs.clone(), Path::new(DIR), 9, b"meta").unwrap();
    vfs.fail_next_sync();
    writer.finish().unwrap_err();
    assert_eq!(latest(&vfs, Path::new(DIR)).unwrap(), None);
    assert!(vfs.list(Path::new(DIR)).unwrap().is_empty());
}

#[test]
fn the_newest_of_many_is_kept() {
    let vfs = disk();
    write(&vfs, 7, &[b"a"]);
    let newest = write(&vfs, 300, &[b"b"]);
    assert_eq!(latest(&vfs, Path::new(DIR)).unwrap(), Some(newest));
    let again = write(&vfs, 300, &[b"c"]);
    assert_eq!(latest(&vfs, Path::new(DIR)).unwrap(), Some(again.clone()));
    remove_older(&vfs, Path::new(DIR), &again).unwrap();
    let left: Vec<PathBuf> = vfs.list(Path::new(DIR)).unwrap().iter().map(|name| Path::new(DIR).join(name)).collect();
    assert_eq!(left, [again.path]);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let vfs = disk();
    vfs.set_capacity(Some(100));
    let mut writer = SnapshotWriter::create(vfs.clone(), Path::new(DIR), 1, b"meta").unwrap();
    writer.write_block(&[1; 200]).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, SnapshotError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    assert!(vfs.list(Path::new(DIR)).unwrap().is_empty());
}

#[test]
fn a_snapshot_is_finished_only_when_its_name_survives_a_power_loss() {
    let vfs = disk();
    let before = write(&vfs, 5, &[b"five"]);
    vfs.set_unsyncable(Some((Path::new(DIR), Syncs::Entries)));
    let mut writer = SnapshotWriter::create(vfs.clone(), Path::new(DIR), 9, b"meta").unwrap();
    writer.write_block(b"nine").unwrap();
    writer.finish().unwrap_err();
    assert_eq!(latest(&vfs.crash(), Path::new(DIR)).unwrap(), Some(before));
    // Where the name did survive, all of it did.
    let kept = vfs.crash_with(|change| matches!(change, Unsynced::Entry { .. }));
    let newest = latest(&kept, Path::new(DIR)).unwrap().unwrap();
    assert_eq!((newest.index, read(&kept, &newest.path).unwrap()), (9, vec![b"nine".to_vec()]));
    // The next start makes it durable before anything relies on it.
    remove_unfinished(&kept, Path::new(DIR)).unwrap();
    assert_eq!(latest(&kept.crash(), Path::new(DIR)).unwrap(), Some(newest));
}
