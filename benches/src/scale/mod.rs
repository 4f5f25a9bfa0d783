//! Two servers with millions of revisions, side by side: memory, disk, puts and gets, restarts.
//!
//! ```text
//! plan ─→ filling ─→ rows ─→ restarts ─→ table
//!            └──────── subject ─┘
//! ```
//!
//! `filling` puts the same revisions into each server, one server after the other; `rows` measures puts and gets
//! in turn while all of them run; `restarts` stops them and times their starts, in turn as well, one process at
//! a time. A `subject` keeps its data and its ports from start to start, and what it answers after each start is
//! checked for every key and the revision. Dropping the measurement ends the servers and removes their data.

mod disk;
mod filling;
mod plan;
mod restarts;
mod rows;
mod subject;
mod table;

use std::path::Path;

use serde::Serialize;

pub use self::disk::DiskUsage;
pub use self::filling::Filled;
pub use self::plan::{Filling, Plan};
pub use self::restarts::{Restart, Restarts};
pub use self::rows::Row;
use self::subject::Subject;
pub use self::table::Line;
use crate::BenchError;
use crate::process::Program;
use crate::progress::Progress;
use crate::report::load_average;
use crate::usage::Memory;

/// Everything about a comparison, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub plan: Plan,
    /// The names of the servers, in the order of all figures.
    pub programs: Vec<String>,
    /// Cores of the machine.
    pub cores: usize,
    /// As [`crate::report::Report::load_average`].
    pub load_average: [Option<f64>; 2],
    /// By server.
    pub filled: Vec<Filled>,
    /// Puts and gets.
    pub rows: Vec<Row>,
    /// Starts on the data.
    pub restarts: Restarts,
    /// Medians and ratios of all that.
    pub table: Vec<Line>,
}

/// Compares the programs. `say` is told each result as it comes, and the table in the end.
///
/// # Errors
/// A plan that cannot be carried out, a server that does not start, stop or answer in time, or one that has not
/// all the data: then there are no ratios.
pub async fn compare(
    plan: &Plan,
    programs: &[Program],
    data_root: &Path,
    progress: &Progress,
    mut say: impl FnMut(&str),
) -> Result<Comparison, BenchError> {
    plan.validate()?;
    let busy_before = load_average();
    say(&plan.title());
    let (mut subjects, mut filled) = (Vec::new(), Vec::new());
    for program in programs {
        let mut subject = Subject::new(program, data_root)?;
        filled.push(start_and_fill(&mut subject, plan, progress, &mut say).await?);
        subjects.push(subject);
    }
    let rows = rows::measure(plan, &subjects, progress, &mut say).await?;
    let restarts = restarts::measure(plan, &mut subjects, progress, &mut say).await?;

    let names: Vec<&str> = subjects.iter().map(Subject::name).collect();
    let table = table::lines(&filled, &rows, &restarts);
    let load_average = [busy_before, load_average()];
    say(&format!("\n{}", table::text(&names, &table)));
    say(&format!("load average before and after: {}", load_average.map(shown).join(" and ")));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let programs = names.into_iter().map(str::to_owned).collect();
    Ok(Comparison { plan: plan.clone(), programs, cores, load_average, filled, rows, restarts, table })
}

async fn start_and_fill(
    subject: &mut Subject<'_>,
    plan: &Plan,
    progress: &Progress,
    say: &mut dyn FnMut(&str),
) -> Result<Filled, BenchError> {
    progress.begins(format!("loading {}", subject.name()));
    progress.says("starting");
    subject.start(plan.start_limit).await?;
    let filled = filling::fill(subject, plan, progress).await?;
    progress.ends();
    let mib = |bytes: u64| bytes >> 20;
    let (Memory { resident_bytes, anonymous_bytes, file_bytes, peak_bytes }, disk) = (filled.memory, filled.disk);
    say(&format!(
        "{:30} {} key revisions in {} store revisions, {:.0} s, {:.0} a second",
        subject.name(),
        filled.key_revisions,
        filled.store_revisions,
        filled.seconds,
        filled.key_revisions as f64 / filled.seconds
    ));
    say(&format!(
        "{:30} RSS {} MiB (RssAnon {}, RssFile {}), peak {}; disk {} MiB allocated, {} apparent",
        "",
        mib(resident_bytes),
        mib(anonymous_bytes),
        mib(file_bytes),
        mib(peak_bytes),
        mib(disk.allocated_bytes),
        mib(disk.apparent_bytes)
    ));
    Ok(filled)
}

fn shown(load: Option<f64>) -> String {
    load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}"))
}
