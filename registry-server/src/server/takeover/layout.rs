//! Where etcd's files are while they are taken over, and the moves that keep them.
//!
//! ```text
//! <data-dir>/member        etcd's, until it becomes
//! <data-dir>/etcd-member   which is kept; then `member` is made anew, and FORMAT is written last
//! <wal-dir>/etcd-wal       the same for the files of a log that lies elsewhere
//! ```
//!
//! What always holds: while FORMAT is missing, what is in `etcd-member` is etcd's and what is in `member` beside it was made
//! by a start that was interrupted; nothing of etcd's is ever changed or removed.

use std::io;
use std::path::{Path, PathBuf};

use super::TakeoverError;
use crate::storage::{DataDir, Vfs};

/// The name under which etcd's directory is kept.
const KEPT: &str = "etcd-member";
/// The same for a log that lies elsewhere.
const KEPT_WAL: &str = "etcd-wal";

/// A data directory of etcd's.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// `--wal-dir`.
    wal_dir: Option<PathBuf>,
    /// An earlier start has begun.
    is_moved: bool,
}

impl Layout {
    /// Finds etcd's files; none if there are none, or all of them were taken over.
    pub(super) fn find<V: Vfs>(vfs: &V, root: &Path, wal_dir: Option<&Path>) -> Result<Option<Self>, TakeoverError> {
        if DataDir::is_formatted(vfs, root)? {
            return Ok(None);
        }
        let of = |name| has_database(vfs, &root.join(name));
        let is_moved = match (of("member")?, of(KEPT)?) {
            (false, false) => return Ok(None),
            (true, true) => return Err(TakeoverError::Two { root: root.to_owned() }),
            (_, is_moved) => is_moved,
        };
        Ok(Some(Self { root: root.to_owned(), wal_dir: wal_dir.map(Path::to_owned), is_moved }))
    }

    /// Where this program's log is to be.
    pub(super) fn wal_dir(&self) -> PathBuf {
        self.wal_dir.clone().unwrap_or_else(|| self.member().join("wal"))
    }

    /// Where this program's snapshots are to be.
    pub(super) fn snapshot_dir(&self) -> PathBuf {
        self.member().join("snap")
    }

    /// etcd's database and what lies beside it.
    pub(super) fn etcd_snap(&self) -> PathBuf {
        self.etcd_member().join("snap")
    }

    /// etcd's log.
    pub(super) fn etcd_wal(&self) -> PathBuf {
        match (&self.wal_dir, self.wal_dir_in_member()) {
            (_, Some(rest)) => self.etcd_member().join(rest),
            (Some(elsewhere), None) if self.is_moved => elsewhere.join(KEPT_WAL),
            (Some(elsewhere), None) => elsewhere.clone(),
            (None, None) => self.etcd_member().join("wal"),
        }
    }

    /// A log's directory outside of the data directory, which has a lock of its own.
    pub(super) fn wal_dir_elsewhere(&self) -> Option<&Path> {
        self.wal_dir.as_deref().filter(|dir| !dir.starts_with(&self.root))
    }

    /// Where etcd's files are kept.
    pub(super) fn kept(&self) -> PathBuf {
        self.root.join(KEPT)
    }

    /// Goes on where an earlier start was interrupted while it moved files.
    pub(super) fn resume<V: Vfs>(&self, vfs: &V) -> Result<(), TakeoverError> {
        if self.is_moved { self.move_wal(vfs) } else { Ok(()) }
    }

    /// Moves etcd's files to where they are kept, and removes what an earlier start has made in their place.
    pub(super) fn make_room<V: Vfs>(&mut self, vfs: &V) -> Result<(), TakeoverError> {
        if !self.is_moved {
            let (member, kept) = (self.member(), self.kept());
            vfs.rename(&member, &kept).and_then(|()| vfs.sync_dir(&self.root)).map_err(failed(&member))?;
            self.is_moved = true;
            self.move_wal(vfs)?;
        }
        for dir in [self.wal_dir(), self.snapshot_dir()] {
            vfs.create_dir_all(&dir).map_err(failed(&dir))?;
            remove_made(vfs, &dir).map_err(failed(&dir))?;
        }
        Ok(())
    }

    fn member(&self) -> PathBuf {
        self.root.join("member")
    }

    fn etcd_member(&self) -> PathBuf {
        if self.is_moved { self.kept() } else { self.member() }
    }

    /// What `--wal-dir` names within `member`: it moves with it.
    fn wal_dir_in_member(&self) -> Option<&Path> {
        self.wal_dir.as_deref()?.strip_prefix(self.root.join("member")).ok()
    }

    fn move_wal<V: Vfs>(&self, vfs: &V) -> Result<(), TakeoverError> {
        let Some(dir) = self.wal_dir.as_deref().filter(|_| self.wal_dir_in_member().is_none()) else { return Ok(()) };
        let kept = dir.join(KEPT_WAL);
        let moved = || -> io::Result<()> {
            vfs.create_dir_all(&kept)?;
            for name in vfs.list(dir)?.iter().filter(|name| is_etcd_log(name)) {
                vfs.rename(&dir.join(name), &kept.join(name))?;
            }
            vfs.sync_dir(&kept)?;
            vfs.sync_dir(dir)
        };
        moved().map_err(failed(dir))
    }
}

fn has_database<V: Vfs>(vfs: &V, member: &Path) -> Result<bool, TakeoverError> {
    let snap = member.join("snap");
    match vfs.list(&snap) {
        Ok(names) => Ok(names.iter().any(|name| name == "db")),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(failed(&snap)(error)),
    }
}

/// etcd's names are two numbers of 16 digits, and `N.tmp` for files that it makes ahead.
fn is_etcd_log(name: &str) -> bool {
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pair = name.strip_suffix(".wal").and_then(|pair| pair.split_once('-'));
    pair.is_some_and(|(sequence, index)| is_number(sequence, 16) && is_number(index, 16))
        || name.strip_suffix(".tmp").is_some_and(|number| is_number(number, 1))
}

/// Removes this program's files: segments of the log, and snapshots, whole or not.
fn remove_made<V: Vfs>(vfs: &V, dir: &Path) -> io::Result<()> {
    let is_made = |name: &str| {
        name.starts_with("wal-") && name.ends_with(".log") || name.ends_with(".snap") || name.ends_with(".snap.tmp")
    };
    for name in vfs.list(dir)?.iter().filter(|name| is_made(name)) {
        vfs.remove_file(&dir.join(name))?;
    }
    vfs.sync_dir(dir)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> TakeoverError {
    |source| TakeoverError::Files { path: path.to_owned(), source }
}
