//! The directory of a member that is being made, under another name until it is whole.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Options, RestoreError};

/// Directories that are removed unless they are finished.
#[derive(Debug)]
pub(super) struct Directory {
    data_dir: PathBuf,
    /// It was not there before.
    is_data_dir_new: bool,
    member: PathBuf,
    snap: PathBuf,
    wal: PathBuf,
    /// The log's directory elsewhere.
    wal_dir: Option<PathBuf>,
    is_finished: bool,
}

impl Directory {
    /// Whoever has data keeps it.
    pub(super) fn refuse_what_is_there(options: &Options) -> Result<(), RestoreError> {
        let Options { data_dir, wal_dir, .. } = options;
        if exists(&part(&data_dir.join("member"))) {
            return Err(RestoreError::Unfinished { path: part(&data_dir.join("member")) });
        }
        if exists(data_dir) && !std::fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_none()) {
            return Err(RestoreError::DataDirNotEmpty { path: data_dir.clone() });
        }
        match wal_dir {
            Some(wal_dir) if exists(wal_dir) => Err(RestoreError::WalDirExists { path: wal_dir.clone() }),
            Some(wal_dir) if exists(&part(wal_dir)) => Err(RestoreError::Unfinished { path: part(wal_dir) }),
            _ => Ok(()),
        }
    }

    pub(super) fn create(options: &Options) -> Result<Self, RestoreError> {
        let data_dir = options.data_dir.clone();
        // The usual place is none of its own.
        let wal_dir = options.wal_dir.clone().filter(|wal_dir| *wal_dir != data_dir.join("member/wal"));
        let member = part(&data_dir.join("member"));
        let snap = member.join("snap");
        let wal = wal_dir.as_deref().map_or_else(|| member.join("wal"), part);
        let is_data_dir_new = !exists(&data_dir);
        let directory = Self { data_dir, is_data_dir_new, member, snap, wal, wal_dir, is_finished: false };
        for path in [&directory.snap, &directory.wal] {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(RestoreError::io(path))?;
        }
        Ok(directory)
    }

    pub(super) fn snap(&self) -> &Path {
        &self.snap
    }

    pub(super) fn wal(&self) -> &Path {
        &self.wal
    }

    /// Gives all its name: the log first, as a member's directory counts from then on.
    pub(super) fn finish(mut self) -> Result<(), RestoreError> {
        for path in [&self.snap, &self.wal, &self.member] {
            sync(path)?;
        }
        if let Some(wal_dir) = &self.wal_dir {
            rename(&self.wal, wal_dir)?;
            self.wal.clone_from(wal_dir);
            sync(parent(wal_dir))?;
        }
        rename(&self.member, &self.data_dir.join("member"))?;
        self.is_finished = true;
        sync(&self.data_dir)?;
        sync(parent(&self.data_dir))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // Whoever is told of the failure need not hear that there is something left, too.
        std::fs::remove_dir_all(&self.member).ok();
        std::fs::remove_dir_all(&self.wal).ok();
        if self.is_data_dir_new {
            std::fs::remove_dir(&self.data_dir).ok();
        }
    }
}

/// The name until it is whole.
fn part(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".part");
    name.into()
}

/// A link that leads nowhere is there, too.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a directory that whoever calls has named, outside of the server's seams"
)]
fn rename(from: &Path, to: &Path) -> Result<(), RestoreError> {
    std::fs::rename(from, to).map_err(RestoreError::io(to))
}

/// Waits until the disk has a directory's entries.
fn sync(path: &Path) -> Result<(), RestoreError> {
    let synced = || -> io::Result<()> { OpenOptions::new().read(true).open(path)?.sync_all() };
    synced().map_err(RestoreError::io(path))
}
