//! `debug`: what is on disk of a server's data directory, a JSON object a line.
//!
//! [`wal`] and [`snapshot`] read the files with the server's own readers, so there is one definition of each format;
//! [`command`] tells what entries ask for, [`bytes`] how keys and values are shown. Nothing is locked or written, so it may be done
//! while the server runs. Damage is told with its place, and fails the command when all is printed.
//!
//! What always holds: one block or batch is in memory at a time; values only where they were asked for; passwords' hashes and
//! tokens' digests never.

mod bytes;
mod command;
mod snapshot;
mod wal;

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::error::CtlError;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  registryctl debug wal /var/lib/registry
  registryctl debug wal /var/lib/registry | jq 'select(.record == \"damage\")'
  registryctl debug snapshot /var/lib/registry --values
  registryctl debug snapshot /var/lib/registry/member/snap/snapshot-0000000000000064-00000001.snap

Each line is a JSON object; `record` says what it is. Keys and values that are no text are in base64 (`key_base64`).
Nothing is locked or changed, so it may be done while the server runs; then the end of the log may be \"unfinished\", and files
that the server removes meanwhile are left out. The exit code is 1 if something is damaged.";

/// Prints what is on disk of a server's data directory.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Debug {
    /// Prints the records of the log, oldest first.
    Wal(What),
    /// Prints what the newest snapshot holds, or the given one.
    Snapshot(What),
}

/// What is read, and how much of it is shown.
#[derive(Debug, ClapArgs)]
pub(crate) struct What {
    /// The data directory, or the directory of the log or of the snapshots, or a snapshot's file.
    path: PathBuf,
    /// Print values as well.
    #[arg(long)]
    values: bool,
}

impl Debug {
    /// Blocks on files: nothing else goes on in this program.
    pub(crate) fn run(&self) -> Result<(), CtlError> {
        let is_damaged = match self {
            Self::Wal(what) => wal::tell(&inside(&what.path, "wal"), what.values)?,
            Self::Snapshot(what) => snapshot::tell(&inside(&what.path, "snap"), what.values)?,
        };
        if is_damaged { Err(CtlError::Unhealthy("what is on disk is damaged")) } else { Ok(()) }
    }
}

/// Where a data directory has it; any other path is meant as it is.
fn inside(path: &Path, name: &str) -> PathBuf {
    let inside = path.join("member").join(name);
    if inside.is_dir() { inside } else { path.to_owned() }
}

/// A line.
fn line(object: &Value) -> Result<(), CtlError> {
    say(&object.to_string())
}

/// A place that is not as it was written.
fn damage(file: &Path, offset: u64, reason: &str) -> Value {
    json!({ "record": "damage", "file": file.display().to_string(), "offset": offset, "reason": reason })
}

/// An id, as it is written everywhere else.
fn hex(id: u64) -> String {
    format!("{id:x}")
}
