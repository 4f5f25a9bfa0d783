//! What a chore of the server's upkeep costs those who put meanwhile.
//!
//! An open loop of puts runs on one server; beside it, phase by phase, nothing, then each [`Chore`] over and over. All
//! phases of a round follow each other on the same server, so that what else the machine does hits all of them; ratios are
//! made within a round. `chores` does the chores, `report` has the lines for people.

mod chores;
mod report;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

pub use self::chores::Chore;
use self::chores::{Chores, Done};
use crate::BenchError;
use crate::channel::Endpoint;
use crate::cost::Cost;
use crate::figures::{Figures, Spread};
use crate::generator::Generator;
use crate::keys::Keys;
use crate::load::{Load, Work};
use crate::preload::preload;
use crate::process::{Program, ServerProcess};
use crate::progress::Progress;
use crate::report::load_average;

/// What is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Upkeep {
    /// The puts, at a rate; its key space is put first.
    pub load: Load,
    /// The chores, in turn; a phase without any goes before them.
    pub chores: Vec<Chore>,
    /// How long a phase is.
    pub phase: Duration,
    /// Between the end of a chore and its next beginning.
    pub pause: Duration,
    /// How often all phases are run.
    pub rounds: usize,
    /// Before each phase every key is put again and what was replaced is compacted away, so that half of what the
    /// server holds on its disk is garbage.
    pub overwrite: bool,
}

/// One phase.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// None for the quiet phase.
    pub chore: Option<Chore>,
    /// Of the puts.
    pub figures: Figures,
    /// Of the chore.
    pub done: Done,
}

/// One server's phases, by round.
#[derive(Debug, Clone, Serialize)]
pub struct Rounds {
    /// The program's name.
    pub name: String,
    /// The phases of each round, the quiet one first.
    pub rounds: Vec<Vec<Run>>,
}

impl Rounds {
    /// What the p99 of puts beside a chore is over that of the quiet phase of the same round.
    #[must_use]
    pub fn p99_ratio(&self, chore: Chore) -> Option<Spread> {
        let ratio = |round: &Vec<Run>| {
            let of = |wanted| round.iter().find(|run| run.chore == wanted).map(|run| run.figures.p99_ms);
            Some(of(Some(chore))? / of(None)?)
        };
        Spread::new(self.rounds.iter().filter_map(ratio))
    }
}

/// Everything that was measured, as `--json` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub plan: Upkeep,
    /// Cores of the machine.
    pub cores: usize,
    /// How busy it was when the measurement began and ended.
    pub load_average: [Option<f64>; 2],
    /// By program.
    pub programs: Vec<Rounds>,
}

impl Upkeep {
    /// Checks that it can be done.
    ///
    /// # Errors
    /// [`BenchError::Load`] with the flag to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        self.load.validate()?;
        let faults = [
            (self.load.work != Work::Put || self.load.rate.is_none(), "the load must be puts at a --rate"),
            (self.phase.is_zero(), "--phase-seconds must be above 0"),
            (self.chores.is_empty(), "--chores must name at least one"),
            (self.rounds == 0, "--rounds must be at least 1"),
        ];
        match faults.iter().find(|(wrong, _)| *wrong) {
            Some((_, text)) => Err(BenchError::Load((*text).to_owned())),
            None => Ok(()),
        }
    }
}

/// Measures the programs one after the other, each on fresh data, and says each line of the report as it comes.
///
/// # Errors
/// The first operation or chore that failed.
pub async fn compare(
    plan: &Upkeep,
    programs: &[Program],
    data_root: &Path,
    progress: &Progress,
    mut say: impl FnMut(&str),
) -> Result<Comparison, BenchError> {
    plan.validate()?;
    let busy_before = load_average();
    say(&format!("{}\n{}", report::title(plan), report::head()));
    let mut of_programs = Vec::new();
    for program in programs {
        progress.begins(&program.name);
        progress.says("starting");
        let server = ServerProcess::start(program, data_root).await?;
        let rounds = measure(plan, &program.name, server.url(), Some(&server), progress, &mut say).await?;
        server.stop().await?;
        progress.ends();
        of_programs.push(rounds);
    }
    for rounds in &of_programs {
        say(&report::ratios(plan, rounds));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Comparison { plan: plan.clone(), cores, load_average: [busy_before, load_average()], programs: of_programs })
}

/// Measures all rounds on a server that runs. What it costs the server is known only when its process is.
///
/// # Errors
/// As [`compare`].
pub async fn measure(
    plan: &Upkeep,
    name: &str,
    endpoint: &str,
    server: Option<&ServerProcess>,
    progress: &Progress,
    say: &mut dyn FnMut(&str),
) -> Result<Rounds, BenchError> {
    plan.validate()?;
    progress.says("preparing");
    let (parsed, keys) = (Endpoint::parse(endpoint)?, Keys::new(&plan.load));
    preload(&plan.load, &parsed, &keys).await?;
    let generator = Generator::connect(plan.load.clone(), &[endpoint]).await?;
    let chores = Chores::open(endpoint).await?;
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        let mut runs = Vec::new();
        for chore in std::iter::once(None).chain(plan.chores.iter().copied().map(Some)) {
            if plan.overwrite {
                progress.says("overwriting");
                preload(&plan.load, &parsed, &keys).await?;
                chores.once(Chore::Compact).await?;
            }
            progress.says("warming up");
            generator.warm_up().await?;
            let run = phase(plan, chore, &generator, &chores, server, progress).await?;
            say(&report::row(&format!("{round} {name}"), &run));
            runs.push(run);
        }
        rounds.push(runs);
    }
    Ok(Rounds { name: name.to_owned(), rounds })
}

/// The puts for the length of a phase, with the chore beside them. A chore that is under way at the end is waited for.
async fn phase(
    plan: &Upkeep,
    chore: Option<Chore>,
    generator: &Generator,
    chores: &Chores,
    server: Option<&ServerProcess>,
    progress: &Progress,
) -> Result<Run, BenchError> {
    let servers = server.map_or(&[][..], std::slice::from_ref);
    let cost = Cost::look(servers)?;
    let mut watch = |part: f64, operations: u64| progress.is_at(part, operations);
    let measured = generator.measure_for(plan.phase, &mut watch);
    let beside = chores.repeat(chore, plan.phase, plan.pause);
    let (measured, done) = tokio::try_join!(measured, beside)?;
    Ok(Run { chore, figures: cost.figures(&measured, servers)?, done })
}
