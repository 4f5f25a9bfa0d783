//! Two servers side by side in every row of the published tables, with the goals of each.
//!
//! ```text
//! plan ─→ rows ─→ run (one server, one row) ─→ result ─→ table, chart
//! ```
//!
//! A row is measured in pairs, A B A B, each run on fresh data; ratios are made pair by pair, and their median is held
//! against the row's goals. A row that fails has no figures and the others go on. `rows` has the rows and the goals,
//! `schedule` knows how long the rest will take.

mod chart;
mod goal;
mod measure;
mod plan;
mod result;
mod rows;
mod run;
mod schedule;
mod table;

use std::path::Path;

use serde::Serialize;
use tokio::time::Instant;

pub use self::chart::svg;
pub use self::goal::{Bound, Goal};
pub use self::measure::Measure;
pub use self::plan::Plan;
pub use self::result::{Line, Outcome, Sample};
pub use self::rows::Row;
use self::schedule::Schedule;
use crate::BenchError;
use crate::process::Program;
use crate::progress::Progress;
use crate::report::load_average;

/// Everything about a comparison so far, as `--json` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub plan: Plan,
    /// The names of the servers, in the order of all figures.
    pub programs: Vec<String>,
    /// Cores of the machine.
    pub cores: usize,
    /// As [`crate::report::Report::load_average`]; the second when the last row ended.
    pub load_average: [Option<f64>; 2],
    /// The rows that are through.
    pub rows: Vec<Outcome>,
}

impl Comparison {
    /// The rows that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.error.is_some()).map(|row| row.row.name()).collect()
    }
}

/// Compares the first program with the second. `say` is told each result as it comes, and `keep` all there is after each
/// row, so that an interruption loses no more than the row under way.
///
/// # Errors
/// A plan that cannot be carried out, or what `keep` says. A row that fails is in the comparison, with its error.
pub async fn compare(
    plan: &Plan,
    programs: [&Program; 2],
    data_root: &Path,
    progress: &Progress,
    mut keep: impl FnMut(&Comparison) -> Result<(), BenchError>,
    mut say: impl FnMut(&str),
) -> Result<Comparison, BenchError> {
    plan.validate()?;
    let busy = load_average();
    let names = programs.map(|program| program.name.clone());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut comparison = Comparison {
        plan: plan.clone(),
        programs: names.to_vec(),
        cores,
        load_average: [busy, busy],
        rows: Vec::new(),
    };
    let schedule = Schedule::new(&plan.rows, plan.pairs, plan.duration, run::guess);
    let mut bench = Bench { plan, programs, data_root, progress, schedule };
    for row in &plan.rows {
        let outcome = bench.measure(*row).await;
        say(&table::of_row(&names, &outcome));
        comparison.rows.push(outcome);
        comparison.load_average[1] = load_average();
        keep(&comparison)?;
    }
    say(&table::of_goals(&names, &comparison.rows));
    Ok(comparison)
}

/// What all rows need.
struct Bench<'a> {
    plan: &'a Plan,
    programs: [&'a Program; 2],
    data_root: &'a Path,
    progress: &'a Progress,
    schedule: Schedule,
}

impl Bench<'_> {
    async fn measure(&mut self, row: Row) -> Outcome {
        let (began, mut pairs) = (Instant::now(), Vec::new());
        let failure = self.pairs(row, &mut pairs).await.err();
        self.schedule.given_up(row);
        self.progress.ends();
        let nodes = self.plan.nodes;
        let lines = if failure.is_none() { result::lines(row, nodes, &pairs) } else { Vec::new() };
        let (title, seconds) = (run::title(self.plan, row), began.elapsed().as_secs_f64());
        Outcome { row, title, nodes, seconds, pairs, lines, error: failure.map(|error| error.to_string()) }
    }

    async fn pairs(&mut self, row: Row, pairs: &mut Vec<Vec<Sample>>) -> Result<(), BenchError> {
        for pair in 1..=self.plan.pairs {
            let mut samples = Vec::new();
            for (place, program) in self.programs.into_iter().enumerate() {
                self.progress.expects(self.schedule.time_left());
                self.progress.begins(format!("{} {pair}/{} {}", row.name(), self.plan.pairs, program.name));
                let began = Instant::now();
                samples.push(run::run(row, self.plan, program, self.data_root, self.progress).await?);
                self.schedule.ended(row, place, began.elapsed());
            }
            pairs.push(samples);
        }
        Ok(())
    }
}
