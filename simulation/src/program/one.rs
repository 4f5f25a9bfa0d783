//! One seed: its timeline, and the shortest schedule that still fails.

use std::io;

use super::args::Replay;
use super::{replay_command, tell};
use crate::plan::Plan;
use crate::run::{Outcome, simulate};

/// Simulates a seed and prints it; false if something was found.
pub(super) fn replay(asked: &Replay) -> io::Result<bool> {
    let plan = Plan::new(asked.seed);
    let plan = match &asked.faults {
        Some(faults) => plan.with_faults(faults),
        None => plan,
    };
    tell(&plan.to_string());
    let outcome = simulate(&plan, !asked.brief);
    if let Some(trace) = &outcome.trace {
        tell(trace);
    }
    tell(&format!(
        "{:.1} s on its clock, {} messages, {} lines of trace with hash {:016x}",
        outcome.lasted.as_secs_f64(),
        outcome.messages,
        outcome.lines,
        outcome.hash
    ));
    tell(&format!("{:?}", outcome.report.counts));
    tell_problems(&outcome);
    Ok(outcome.problems.is_empty())
}

fn tell_problems(outcome: &Outcome) {
    if outcome.problems.is_empty() {
        tell("nothing was found");
    }
    outcome.problems.iter().for_each(|problem| tell(&format!("FOUND: {problem}")));
}

/// Tries to do without each fault, again and again until none can be left out; false if the seed fails at all.
pub(super) fn shrink(seed: u64) -> io::Result<bool> {
    let plan = Plan::new(seed);
    let whole = simulate(&plan, false);
    let Some(sought) = whole.problems.first().map(|problem| kind(problem)) else {
        tell(&format!("seed {seed} finds nothing"));
        return Ok(true);
    };
    tell(&format!("seed {seed} finds with {} faults: {}", plan.faults.len(), whole.problems[0]));
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let mut tried = 0;
    loop {
        let before = kept.len();
        for number in kept.clone().into_iter().rev() {
            let fewer: Vec<_> = kept.iter().copied().filter(|other| *other != number).collect();
            tried += 1;
            let outcome = simulate(&plan.with_faults(&fewer), false);
            if outcome.problems.iter().any(|problem| kind(problem) == sought) {
                tell(&format!("  not needed: {number:>3}  {}", plan.faults[number]));
                kept = fewer;
            }
        }
        if kept.len() == before {
            break;
        }
    }
    tell(&format!("{} of {} faults are needed, after {tried} attempts:", kept.len(), plan.faults.len()));
    kept.iter().for_each(|number| tell(&format!("{number:>4}  {}", plan.faults[*number])));
    tell(&replay_command(seed, Some(&kept)));
    Ok(false)
}

/// What kind of problem it is: what stands before the first colon, or the first words.
fn kind(problem: &str) -> String {
    let head = problem.split(':').next().unwrap_or_default();
    head.chars().filter(|letter| !letter.is_ascii_digit()).take(60).collect()
}
