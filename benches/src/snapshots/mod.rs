//! Snapshots of a large store: saving, checking and restoring them, with the tools of either side.
//!
//! Each server is filled once and goes on running; then, round by round and in turn, its tools take a snapshot of it, look at that,
//! and make a data directory of it. What counts is how long a tool runs, from before it is there until it has ended, and the
//! most memory that it had.

mod report;
mod tool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use self::tool::Cost;
use crate::BenchError;
use crate::channel::Endpoint;
use crate::home::Home;
use crate::keys::Keys;
use crate::load::Load;
use crate::preload::preload;
use crate::process::{Program, ServerProcess};
use crate::progress::Progress;
use crate::report::load_average;

/// What is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The keys; its amount is not looked at.
    pub load: Load,
    /// How often each is measured.
    pub rounds: usize,
}

/// A server with its tools.
#[derive(Debug, Clone)]
pub struct Side {
    /// The server.
    pub program: Program,
    /// What takes snapshots: `registryctl`, or `etcdctl`.
    pub saves: PathBuf,
    /// What looks at them and restores them: `registryctl`, `etcdutl`, or an `etcdctl` of before that was there.
    pub restores: PathBuf,
}

/// One round of one side.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// `snapshot save`.
    pub save: Cost,
    /// `snapshot status`.
    pub status: Cost,
    /// `snapshot restore`.
    pub restore: Cost,
    /// The snapshot's length.
    pub file_bytes: u64,
}

/// All rounds of one side.
#[derive(Debug, Serialize)]
pub struct Rounds {
    /// The server.
    pub name: String,
    /// In their order.
    pub rounds: Vec<Round>,
}

/// Everything about a comparison, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub plan: Plan,
    /// As [`crate::report::Report::load_average`].
    pub load_average: [Option<f64>; 2],
    /// By side.
    pub sides: Vec<Rounds>,
}

/// A side whose server runs and has all keys.
struct Subject<'a> {
    side: &'a Side,
    home: Arc<Home>,
    server: ServerProcess,
}

/// Measures each side in turn, and says each line of the report as it comes.
///
/// # Errors
/// A server that does not start, a tool that fails: then there are no figures.
pub async fn compare(
    plan: &Plan,
    sides: &[Side],
    data_root: &Path,
    progress: &Progress,
    mut say: impl FnMut(&str),
) -> Result<Comparison, BenchError> {
    plan.load.validate()?;
    let busy_before = load_average();
    let mut subjects = Vec::new();
    for side in sides {
        progress.begins(side.program.name.clone());
        progress.says("loading keys");
        subjects.push(filled(plan, side, data_root).await?);
    }
    progress.ends();
    say(&report::head(plan));
    let mut measured: Vec<Rounds> =
        sides.iter().map(|side| Rounds { name: side.program.name.clone(), rounds: Vec::new() }).collect();
    for _ in 0..plan.rounds {
        for (subject, rounds) in subjects.iter().zip(&mut measured) {
            progress.begins(rounds.name.clone());
            let round = round(subject, progress).await?;
            progress.ends();
            report::rows(&rounds.name, &round).iter().for_each(|row| say(row));
            rounds.rounds.push(round);
        }
    }
    for subject in subjects {
        subject.server.stop().await?;
    }
    say(&report::medians(&measured));
    Ok(Comparison { plan: plan.clone(), load_average: [busy_before, load_average()], sides: measured })
}

async fn filled<'a>(plan: &Plan, side: &'a Side, data_root: &Path) -> Result<Subject<'a>, BenchError> {
    let home = Home::new(data_root)?;
    let server = ServerProcess::start_in(&side.program, &home, START_LIMIT).await?;
    preload(&plan.load, &Endpoint::parse(server.url())?, &Keys::new(&plan.load)).await?;
    Ok(Subject { side, home, server })
}

const START_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

async fn round(subject: &Subject<'_>, progress: &Progress) -> Result<Round, BenchError> {
    let Subject { side, home, server } = subject;
    let dir = tempfile::Builder::new().prefix("snapshot-").tempdir_in(home.parent());
    let dir = dir.map_err(BenchError::system("a directory for the snapshot"))?;
    let (file, data) = (dir.path().join("snapshot.db"), dir.path().join("restored"));
    progress.says("saving");
    let address = server.url().trim_start_matches("http://");
    let save = ["--endpoints".as_ref(), address.as_ref(), "snapshot".as_ref(), "save".as_ref(), file.as_os_str()];
    let save = tool::run(&side.saves, &save).await?;
    progress.says("looking at it");
    let status = tool::run(&side.restores, &["snapshot".as_ref(), "status".as_ref(), file.as_os_str()]).await?;
    progress.says("restoring");
    let restore = ["snapshot".as_ref(), "restore".as_ref(), file.as_os_str(), "--data-dir".as_ref(), data.as_os_str()];
    let restore = tool::run(&side.restores, &restore).await?;
    let file_bytes = std::fs::metadata(&file).map_err(BenchError::system("the snapshot"))?.len();
    Ok(Round { save, status, restore, file_bytes })
}
