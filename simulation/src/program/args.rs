//! What can be asked for.

use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Simulates whole clusters on virtual time, with faults drawn from seeds, and checks what their clients saw.
#[derive(Debug, Parser)]
#[command(
    name = "simulate",
    version,
    after_help = "Examples:
  simulate run --seeds 0..3000
  simulate run --seeds 0..50000 --state long-run.txt
  simulate replay 4711
  simulate shrink 4711"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One of them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulates one seed after the other and tells which found something.
    Run(Run),
    /// Simulates one seed and prints its schedule and its timeline.
    Replay(Replay),
    /// Leaves out the faults of a failing seed that it does not need.
    Shrink(Shrink),
}

/// Many seeds.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// From the first to before the last, as in 0..3000.
    #[arg(long, default_value = "0..500", value_parser = seeds, value_name = "FROM..TO")]
    pub(crate) seeds: Range<u64>,
    /// How many are simulated at once; as many as there are cores unless given.
    #[arg(long)]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Where it is kept how far the run has come: the same command goes on from there.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Simulates each seed twice and compares the traces.
    #[arg(long)]
    pub(crate) twice: bool,
    /// Ends after so many seeds that found something.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub(crate) most: usize,
}

/// One seed.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// Which one.
    pub(crate) seed: u64,
    /// Only these of its faults, by their numbers in the schedule.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub(crate) faults: Option<Vec<usize>>,
    /// Without the timeline: only the schedule and what was found.
    #[arg(long)]
    pub(crate) brief: bool,
}

/// A seed that fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Shrink {
    /// Which one.
    pub(crate) seed: u64,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let mend = || format!("{text:?} are no seeds: give the first and the one after the last, as in 0..3000");
    let (from, to) = text.split_once("..").ok_or_else(mend)?;
    let (from, to) = (from.parse().map_err(|_| mend())?, to.parse().map_err(|_| mend())?);
    if from < to { Ok(from..to) } else { Err(mend()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        for wrong in ["", "7", "7..3", "7..7", "a..b", "1..=2"] {
            assert!(seeds(wrong).unwrap_err().contains("0..3000"), "{wrong}");
        }
    }
}
