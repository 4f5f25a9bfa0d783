//! `snapshot`.

mod save;

use std::path::PathBuf;

use clap::Subcommand;

use crate::error::CtlError;
use crate::global::Global;

const EXAMPLES: &str = "\
Examples:
  registryctl --endpoints 10.0.0.1:2379 snapshot save backup.db

The file is what etcd's tools check and restore: etcdutl snapshot status backup.db";

/// Takes snapshots.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Snapshot {
    /// Writes all that one member has, at one revision, into a file.
    Save {
        /// The file; one that is there is replaced when the snapshot is whole.
        file: PathBuf,
    },
}

impl Snapshot {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        match self {
            Self::Save { file } => save::save(global, file).await,
        }
    }
}
