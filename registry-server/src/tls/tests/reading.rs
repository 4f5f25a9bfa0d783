//! Files are read when they have changed, and not with each handshake.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::storage::{FileStamp, MemFile, MemLock};

/// Files in memory that look as a test says, and that are counted when they are opened.
#[derive(Clone)]
struct Looked {
    files: MemVfs,
    opened: Arc<AtomicUsize>,
    /// The same of all files.
    stamp: Arc<Mutex<FileStamp>>,
}

impl Vfs for Looked {
    type File = MemFile;
    type Lock = MemLock;

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<MemFile> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.files.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<MemLock> {
        self.files.try_lock(path)
    }

    fn stamp(&self, _path: &Path) -> io::Result<Option<FileStamp>> {
        Ok(Some(*self.stamp.lock()))
    }

    fn dir_mode(&self, dir: &Path) -> io::Result<u32> {
        self.files.dir_mode(dir)
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_look_different_or_may_change_unseen() {
    let (vfs, authority) = (MemVfs::new(), Authority::new("ca"));
    let settings = member(&vfs, "a", &authority, &authority.sign(&params(&["127.0.0.1"], "a")));
    let long_ago = FileStamp { file: (1, 1), length: 7, changed_after_epoch: Duration::from_secs(7) };
    let looked = Looked { files: vfs, opened: Arc::default(), stamp: Arc::new(Mutex::new(long_ago)) };
    let credentials = Credentials::load(looked.clone(), settings, &[b"h2"]).unwrap();
    let opened = async || {
        let before = looked.opened.load(Ordering::Relaxed);
        let configs = credentials.current().await;
        (looked.opened.load(Ordering::Relaxed) - before, configs)
    };
    let (_, first) = opened().await;
    for _ in 0..3 {
        let (count, configs) = opened().await;
        assert_eq!(count, 0, "they look as they did");
        assert!(Arc::ptr_eq(&configs.server, &first.server));
    }
    looked.stamp.lock().changed_after_epoch = Duration::from_secs(8);
    assert_eq!(opened().await.0, 3, "certificate, key and CA look different");
    assert_eq!(opened().await.0, 0, "and not any more");
    // As if somebody had just written to them, and may do so again within the same tick of the file system's clock.
    let now = rustls::pki_types::UnixTime::now().as_secs();
    looked.stamp.lock().changed_after_epoch = Duration::from_secs(now);
    assert_eq!((opened().await.0, opened().await.0), (3, 3));
}
