//! Claims about the data directory.

use super::super::{MemVfs, StdVfs};
use super::*;

const ROOT: &str = "/srv/registry";

fn open(vfs: &MemVfs) -> Result<DataDir<MemVfs>, DataDirError> {
    DataDir::open(vfs, Path::new(ROOT), None)
}

#[test]
fn a_new_directory_is_private_and_survives_a_power_loss() {
    let vfs = MemVfs::new();
    assert!(open(&vfs).unwrap().is_new());
    let vfs = vfs.crash();
    let dir = open(&vfs).unwrap();
    assert!(!dir.is_new());
    assert_eq!(vfs.dir_mode(dir.root()).unwrap(), 0o700);
    assert_eq!(vfs.dir_mode(dir.wal_dir()).unwrap(), 0o700);
    assert_eq!(vfs.dir_mode(dir.snap_dir()).unwrap(), 0o700);
}

#[test]
fn a_second_process_is_refused_until_the_first_ends() {
    let vfs = MemVfs::new();
    let first = open(&vfs).unwrap();
    let error = open(&vfs).unwrap_err();
    assert_eq!(error.to_string(), format!("the data directory {ROOT} is in use by another process"));
    drop(first);
    open(&vfs).unwrap();
}

#[test]
fn a_separate_wal_directory_is_locked_too() {
    let vfs = MemVfs::new();
    let wal = Path::new("/fast/wal");
    let first = DataDir::open(&vfs, Path::new(ROOT), Some(wal)).unwrap();
    assert_eq!(first.wal_dir(), wal);
    let error = DataDir::open(&vfs, Path::new("/srv/other"), Some(wal)).unwrap_err();
    assert!(matches!(error, DataDirError::InUse { dir } if dir == wal));
}

#[test]
fn a_newer_layout_and_a_foreign_directory_are_refused() {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new(ROOT)).unwrap();
    let format = vfs.open(&Path::new(ROOT).join("FORMAT"), OpenMode::CreateNew).unwrap();
    format.write_all_at(b"registry-data 2\n", 0).unwrap();
    assert!(matches!(open(&vfs), Err(DataDirError::Newer { version: 2, .. })));
    format.write_all_at(b"something else 2", 0).unwrap();
    assert!(matches!(open(&vfs), Err(DataDirError::Foreign { .. })));

    let vfs = MemVfs::new();
    vfs.create_dir_all(&Path::new(ROOT).join("member/wal")).unwrap();
    assert!(matches!(open(&vfs), Err(DataDirError::Foreign { .. })));
}

#[test]
fn an_interrupted_first_start_can_be_repeated() {
    for changes in 0..12 {
        let vfs = MemVfs::new();
        vfs.stop_after(changes);
        drop(open(&vfs));
        for keep in [false, true] {
            open(&vfs.crash_with(|_| keep)).unwrap();
        }
    }
}

#[test]
fn an_unusable_directory_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    StdVfs.open(&file, OpenMode::CreateNew).unwrap();
    let root = file.join("data");
    let error = DataDir::open(&StdVfs, &root, None).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot use the data directory {}: ", root.display())), "{error}");
}

#[test]
fn a_real_directory_is_made_private_and_locked() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b");
    let first = DataDir::open(&StdVfs, &root, None).unwrap();
    assert_eq!(StdVfs.dir_mode(&root).unwrap(), 0o700);
    assert!(matches!(DataDir::open(&StdVfs, &root, None), Err(DataDirError::InUse { .. })));
    drop(first);
    assert!(!DataDir::open(&StdVfs, &root, None).unwrap().is_new());
}
