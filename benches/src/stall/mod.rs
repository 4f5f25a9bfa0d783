//! Watchers that read nothing for a while, among many fast ones.
//!
//! The load is an open loop of puts, each of them one event for one fast watcher. Each server is measured
//! twice in turn on fresh data: without stalled watchers, then with them. `run` has the course of one such
//! run, `reader` the stalled watcher that checks what it gets afterwards, `figures` the comparison of pairs
//! and `report` the lines for people.

mod figures;
mod reader;
mod report;
mod run;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

pub use figures::{Comparison, Pair, Pairs, Run, Sample};
pub use reader::{Caught, End};
pub use run::{measure, measure_program};

use crate::BenchError;
use crate::load::{Load, Work};
use crate::process::Program;
use crate::progress::Progress;
use crate::report::{head, load_average};

/// What is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Stall {
    /// The fast watchers and the puts: watch, spread, at a rate. Its amount is not looked at.
    pub load: Load,
    /// How many watchers of all keys read nothing, each on a connection of its own.
    pub stalled: usize,
    /// For how long they read nothing.
    pub stall: Duration,
    /// For how long the load goes on when they read again.
    pub catch_up: Duration,
    /// Compact when half of the puts of the stall are done, with and without stalled watchers alike.
    pub compact: bool,
}

impl Stall {
    /// Checks that it can be done.
    ///
    /// # Errors
    /// [`BenchError::Load`] with the flag to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        self.load.validate()?;
        let faults = [
            (self.load.work != Work::Watch || !self.load.spread, "the load must be of watchers with a key each"),
            (self.load.rate.is_none(), "--rate is needed"),
            (self.stalled == 0, "--stalled must be at least 1"),
            (self.stall.is_zero(), "--stall-seconds must be above 0"),
            (self.catch_up.is_zero(), "--catch-up-seconds must be above 0"),
        ];
        match faults.iter().find(|(wrong, _)| *wrong) {
            Some((_, text)) => Err(BenchError::Load((*text).to_owned())),
            None => Ok(()),
        }
    }
}

/// Measures each program without and with stalled watchers in turn, `rounds` times, and says each line of the
/// report as it comes.
///
/// # Errors
/// The first run that failed, a gap in what a stalled watcher got among the reasons; there are no figures of
/// half a pair.
pub async fn compare(
    plan: &Stall,
    programs: &[Program],
    rounds: usize,
    data_root: &Path,
    progress: &Progress,
    mut say: impl FnMut(&str),
) -> Result<Comparison, BenchError> {
    plan.validate()?;
    let busy_before = load_average();
    say(&format!("{}\n{}", report::title(plan), head()));
    let mut of_programs: Vec<Pairs> = programs.iter().map(|program| Pairs::new(&program.name)).collect();
    for round in 1..=rounds {
        for (program, pairs) in programs.iter().zip(&mut of_programs) {
            let mut runs = Vec::new();
            for (with, stalled) in [("alone", 0), ("with", plan.stalled)] {
                let name = format!("{round} {} {with}", program.name);
                progress.begins(&name);
                let run = measure_program(plan, stalled, program, data_root, progress).await?;
                progress.ends();
                say(&report::run(&name, &run));
                runs.push(run);
            }
            pairs.add(runs);
        }
    }
    for pairs in &of_programs {
        say(&report::pairs(pairs));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Comparison { plan: plan.clone(), cores, load_average: [busy_before, load_average()], programs: of_programs })
}
