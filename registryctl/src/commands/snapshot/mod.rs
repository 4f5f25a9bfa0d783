//! `snapshot`.

mod hashkv;
mod progress;
mod restore;
mod save;
mod status;

use std::path::PathBuf;

use clap::Subcommand;

pub(super) use self::progress::{beside, tell};
use self::restore::Restore;
use crate::error::CtlError;
use crate::global::Global;

const EXAMPLES: &str = "\
Examples:
  registryctl --endpoints 10.0.0.1:2379 snapshot save backup.db
  registryctl snapshot status backup.db -w table
  registryctl snapshot restore backup.db --data-dir new
  registryctl snapshot hashkv backup.db --rev 1234

The file is etcd's: its tools check and restore it, and it may come from etcd.";

/// Takes snapshots, checks them, and makes members of them.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Snapshot {
    /// Writes all that one member has, at one revision, into a file.
    Save {
        /// The file; one that is there is replaced when the snapshot is whole.
        file: PathBuf,
    },
    /// Checks a snapshot and tells its hash, revision, number of entries and size.
    Status {
        /// The file: a snapshot, or a database that was copied from a member's directory (member/snap/db).
        file: PathBuf,
    },
    /// Makes the directory of a new member, of a new cluster, out of a snapshot.
    Restore(Restore),
    /// Hashes what a file has of all keys' history: what `endpoint hashkv` of etcd tells of the same revision.
    Hashkv {
        /// The file: a snapshot, or a database that was copied from a member's directory (member/snap/db).
        file: PathBuf,
        /// Up to which revision; 0 is the newest.
        #[arg(long, value_name = "REVISION", default_value_t = 0)]
        rev: i64,
    },
}

impl Snapshot {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        match self {
            Self::Save { file } => save::save(global, file).await,
            Self::Status { file } => status::status(global, file).await,
            Self::Restore(restore) => restore.run().await,
            Self::Hashkv { file, rev } => hashkv::hashkv(global, file, *rev).await,
        }
    }
}
