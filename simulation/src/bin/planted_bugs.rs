//! Hunts the planted bugs and prints how many seeds each has cost; fails when one was not found.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use registry_simulation::Plan;
use registry_simulation::bugs::{Bug, Hunt, Hunter, simulate_with};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much of a problem is printed.
const BRIEF: usize = 300;

#[derive(Debug, Parser)]
#[command(about = "Plants bugs, one at a time, and tries seeds until one finds it.")]
struct Args {
    /// Which bugs; all if none is named.
    bugs: Vec<String>,
    /// So many seeds are tried for each.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Simulations at a time; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Tries this seed only, and prints its trace.
    #[arg(long)]
    replay: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let unknown = args.bugs.iter().find(|name| Bug::named(name).is_none());
    if let Some(name) = unknown {
        writeln!(io::stderr(), "there is no bug {name}; there are:")?;
        Bug::all().try_for_each(|bug| writeln!(io::stderr(), "{:<12} {bug}", bug.room()))?;
        return Ok(ExitCode::from(2));
    }
    let named = args.bugs.iter().filter_map(|name| Bug::named(name));
    let bugs: Vec<_> = if args.bugs.is_empty() { Bug::all().collect() } else { named.collect() };
    match args.replay {
        Some(seed) => bugs.iter().try_for_each(|bug| replay(*bug, seed)).map(|()| ExitCode::SUCCESS),
        None => hunt_all(&args, &bugs),
    }
}

fn hunt_all(args: &Args, bugs: &[Bug]) -> io::Result<ExitCode> {
    let hunter = Hunter::new(args.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)));
    let mut out = io::stdout().lock();
    writeln!(out, "{:<28} {:<10} {:>6} {:>8}  what found it", "bug", "room", "seeds", "reached")?;
    let mut missed = 0;
    for bug in bugs {
        let began = now();
        let hunt = hunter.hunt(*bug, args.from..args.from + args.seeds);
        missed += usize::from(hunt.catch.is_none());
        writeln!(out, "{}  ({:.0} s)", row(&hunt), began.elapsed().as_secs_f64())?;
    }
    writeln!(out, "{} of {} found", bugs.len() - missed, bugs.len())?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::disallowed_methods, reason = "the time of whoever waits for the hunt, not of a simulation")]
fn now() -> Instant {
    Instant::now()
}

fn row(hunt: &Hunt) -> String {
    let Hunt { bug, seeds, reached, catch } = hunt;
    let what = match catch {
        Some(catch) => {
            let problem: String = catch.problem.chars().take(BRIEF).collect();
            format!("{problem}\n{:>58}planted-bugs {bug} --replay {}", "", catch.seed)
        }
        None => "NOT FOUND".to_owned(),
    };
    format!("{:<28} {:<10} {seeds:>6} {reached:>8}  {what}", bug.to_string(), bug.room())
}

fn replay(bug: Bug, seed: u64) -> io::Result<()> {
    let plan = Plan::new(seed);
    let (outcome, hits) = simulate_with(Some(bug), &plan, true);
    let mut out = io::stdout().lock();
    write!(out, "{plan}{}", outcome.trace.unwrap_or_default())?;
    writeln!(out, "{bug} did something {hits} times")?;
    outcome.problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
}
