//! The first start on a data directory of etcd's: a restored snapshot, or what an etcd left that was stopped.
//!
//! The state is read whole before anything is touched, so that what is refused stays as it was. Then etcd's files are moved
//! aside ([`layout`]) and this program's are written from the state; [`past`] is what etcd's log says beside the database,
//! and [`entry`] whether the database has what an entry did.
//!
//! What always holds: etcd's files are kept as they were; until FORMAT is written, the last step, a start that was
//! interrupted is begun anew by the next one. For a while both take room on the disk.

mod entry;
mod layout;
mod past;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use registry_etcd_files::bbolt::{Image, ImageError};
use registry_etcd_files::raft_snapshot::RaftSnapshotError;
use registry_etcd_files::wal::WalFileError;

use self::layout::Layout;
use self::past::Past;
use super::config::Config;
use super::settings::wal_options;
use super::start::Production;
use crate::apply::{ImportError, Machine, import};
use crate::consensus::{ConsensusError, Ground, found};
use crate::storage::{DataDir, DataDirError, Vfs};
use crate::types::{MemberId, ThreadExecutor};

/// Why a data directory of etcd's is not taken over. Where it says nothing else, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The database is open.
    #[error(
        "etcd's data directory {} is in use: stop that etcd first, with SIGTERM, and wait until it has ended",
        root.display()
    )]
    Running {
        /// The data directory.
        root: PathBuf,
    },
    /// Somebody has put a second one there while the first was taken over.
    #[error(
        "{} has etcd's database in both `member` and `etcd-member`: an earlier start has moved the one to `etcd-member` \
         and was interrupted; move away the one that is not wanted",
        root.display()
    )]
    Two {
        /// The data directory.
        root: PathBuf,
    },
    /// The log has more than the database.
    #[error(
        "etcd's log {} has entry {index}, {what}, which its database does not have, so that it would be lost: start that \
         etcd again and stop it with SIGTERM, or take a snapshot of it (etcdctl snapshot save), restore that, and start \
         from the result",
        wal.display()
    )]
    Beyond {
        /// The log's directory.
        wal: PathBuf,
        /// The entry.
        index: u64,
        /// What it did.
        what: &'static str,
    },
    /// A snapshot of a leader has come, and was not put in the database's place.
    #[error(
        "etcd's database ends at entry {applied}, and its log {} begins behind entry {index}: start that etcd again and \
         stop it with SIGTERM, or start from a snapshot of another member",
        wal.display()
    )]
    Behind {
        /// The log's directory.
        wal: PathBuf,
        /// Where it begins.
        index: u64,
        /// Where the database ends.
        applied: u64,
    },
    /// The log has less than the database.
    #[error(
        "etcd's log {} ends at entry {end}, and its database at entry {applied}: they are not of the same member; give \
         the --wal-dir that etcd had, or start from a snapshot (etcdctl snapshot save, then restore)",
        wal.display()
    )]
    Ahead {
        /// The log's directory.
        wal: PathBuf,
        /// Where it ends.
        end: u64,
        /// Where the database ends.
        applied: u64,
    },
    /// The members cannot be told.
    #[error(
        "member {member} of etcd's log {} is no member of its cluster, or nothing is known of it: if it was removed, its \
         data is of no use; else start from a snapshot (etcdctl snapshot save, then restore)",
        wal.display()
    )]
    NoMember {
        /// The log's directory.
        wal: PathBuf,
        /// The member.
        member: MemberId,
    },
    /// The log says what cannot be.
    #[error("etcd's log {} is damaged: {reason}; start from a snapshot (etcdctl snapshot save, then restore)", wal.display())]
    Impossible {
        /// The log's directory.
        wal: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The database's pages.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What is in the database.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The log.
    #[error(transparent)]
    Log(#[from] WalFileError),
    /// A snapshot of Raft's.
    #[error(transparent)]
    Snapshot(#[from] RaftSnapshotError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The file system. etcd's files are whole, in `etcd-member` if no more in `member`; the next start goes on.
    #[error("cannot take etcd's data over: {}: {source}; the next start goes on with it", path.display())]
    Files {
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// The files that are made, as for [`TakeoverError::Files`].
    #[error("cannot take etcd's data over: {0}; the next start goes on with it")]
    Founding(#[from] ConsensusError),
}

/// Makes a data directory of etcd's this program's, if there is one. Reads and writes files before it returns.
///
/// # Errors
/// See [`TakeoverError`].
pub(super) async fn take_over<V: Vfs>(vfs: &V, config: &Config) -> Result<(), TakeoverError> {
    let (root, wal_dir) = (config.data_dir.as_path(), config.wal_dir.as_deref());
    if Layout::find(vfs, root, wal_dir)?.is_none() {
        return Ok(());
    }
    let _lock = DataDir::lock(vfs, root)?;
    // Another start may have been at it.
    let Some(mut layout) = Layout::find(vfs, root, wal_dir)? else { return Ok(()) };
    let _wal_lock = layout.wal_dir_elsewhere().map(|dir| DataDir::lock(vfs, dir)).transpose()?;
    let _database_lock = lock_database(vfs, &layout, root)?;
    layout.resume(vfs)?;
    tracing::info!(data_dir = %root.display(), "taking over etcd's data directory: reading its database and its log");
    let image = Image::open(&layout.etcd_snap().join("db"))?;
    let imported = import(&image)?;
    let Past { identity, beginning, cluster } = past::read(&layout.etcd_wal(), &layout.etcd_snap(), &imported)?;
    let (revision, keys) = {
        let store = imported.state.store.read();
        (store.revision().0, store.keys())
    };
    // From here on things change, in this order.
    layout.make_room(vfs)?;
    let ground = Ground { wal_dir: layout.wal_dir(), snapshot_dir: layout.snapshot_dir(), wal: wal_options(config) };
    let state = imported.into_snapshot(cluster);
    found::<Machine, Production, V>(&ground, vfs.clone(), &ThreadExecutor, state, &beginning).await?;
    identity.save(vfs, root).map_err(|source| TakeoverError::Files { path: root.to_owned(), source })?;
    DataDir::format(vfs, root)?;
    let (kept, members) = (layout.kept(), beginning.members.len());
    tracing::warn!(
        cluster = %identity.cluster, member = %identity.member, members, revision, keys, index = beginning.last.index,
        kept = %kept.display(),
        "etcd's data was taken over; its files are kept and can be removed once all is well"
    );
    Ok(())
}

/// As etcd itself does, which has its database locked while it runs.
fn lock_database<V: Vfs>(vfs: &V, layout: &Layout, root: &Path) -> Result<V::Lock, TakeoverError> {
    let database = layout.etcd_snap().join("db");
    vfs.try_lock(&database).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => TakeoverError::Running { root: root.to_owned() },
        _ => TakeoverError::Files { path: database, source },
    })
}
