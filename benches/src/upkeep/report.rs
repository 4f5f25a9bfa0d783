//! The lines for people.

use std::fmt::Write as _;

use super::{Rounds, Run, Upkeep};
use crate::report;

pub(super) fn title(plan: &Upkeep) -> String {
    let (keys, phase, pause) = (plan.load.key_space, plan.phase, plan.pause);
    let before = if plan.overwrite { ", all put again and compacted before each phase" } else { "" };
    format!("{}\n{keys} keys{before}; {phase:?} a phase, chores with pauses of {pause:?}", plan.load.title())
}

pub(super) fn head() -> String {
    format!("{} {:>6} {:>9}", report::head(), "chores", "each ms")
}

pub(super) fn row(name: &str, run: &Run) -> String {
    let name = match run.chore {
        None => format!("{name}, quiet"),
        Some(chore) => format!("{name}, {chore:?}").to_lowercase(),
    };
    let each = match run.done.times {
        0 => "-".to_owned(),
        times => format!("{:.1}", run.done.seconds * 1e3 / f64::from(times)),
    };
    format!("{} {:>6} {each:>9}", report::row(&name, &run.figures), run.done.times)
}

/// For each chore, how the p99 of puts compares with the quiet one of the same round.
pub(super) fn ratios(plan: &Upkeep, rounds: &Rounds) -> String {
    let mut text = format!("{}, p99 of puts beside a chore ÷ quiet, median of {} rounds:\n", rounds.name, plan.rounds);
    for chore in &plan.chores {
        if let Some(spread) = rounds.p99_ratio(*chore) {
            let name = format!("{chore:?}").to_lowercase();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:24} {:>7.3}  ({:.3} to {:.3})", spread.median, spread.min, spread.max);
        }
    }
    text
}
