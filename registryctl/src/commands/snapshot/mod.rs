//! `snapshot`.

mod progress;
mod restore;
mod save;
mod status;

use std::path::PathBuf;

use clap::Subcommand;

use self::restore::Restore;
use crate::error::CtlError;
use crate::global::Global;

const EXAMPLES: &str = "\
Examples:
  registryctl --endpoints 10.0.0.1:2379 snapshot save backup.db
  registryctl snapshot status backup.db -w table
  registryctl snapshot restore backup.db --data-dir new

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
}

impl Snapshot {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        match self {
            Self::Save { file } => save::save(global, file).await,
            Self::Status { file } => status::status(global, file).await,
            Self::Restore(restore) => restore.run().await,
        }
    }
}
