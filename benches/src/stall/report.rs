//! The lines for people.

use std::fmt::Write as _;

use super::Stall;
use super::figures::{Pairs, Run};
use super::reader::{Caught, End};
use crate::figures::Spread;
use crate::report::{ratios, row};

/// What is measured.
pub(super) fn title(plan: &Stall) -> String {
    let compact = if plan.compact { "; compaction in the middle" } else { "" };
    let (stalled, stall, catch_up) = (plan.stalled, plan.stall, plan.catch_up);
    format!("{}\n{stalled} stalled for {stall:?}{compact}; then {catch_up:?} more", plan.load.title())
}

/// One run, "alone" or "with" stalled watchers: two rows, and a line for each stalled watcher.
pub(super) fn run(name: &str, run: &Run) -> String {
    let (stall, catch_up) = (row(&format!("{name}, stall"), &run.stall), row(&format!("{name}, after"), &run.catch_up));
    let caught: String = run.caught.iter().map(caught).collect();
    format!("{stall}\n{catch_up}{caught}")
}

/// The ratios of a program's pairs.
pub(super) fn pairs(pairs: &Pairs) -> String {
    let mut text = String::new();
    let rounds = pairs.pairs.len();
    for (phase, of_phase) in [("during the stall", pairs.stall()), ("after it", pairs.catch_up())] {
        if let Some(of_phase) = of_phase {
            // Writing to a string cannot fail.
            let name = &pairs.name;
            let _ = write!(text, "{name}, with ÷ alone {phase}, median of {rounds} pairs:\n{}", ratios(&of_phase));
        }
    }
    if let Some([at_the_end, peak]) = pairs.extra_bytes() {
        let _ = writeln!(
            text,
            "  RSS, with − alone: at the end of the stall {}, at its peak {}",
            mib(at_the_end),
            mib(peak)
        );
    }
    text
}

fn caught(caught: &Caught) -> String {
    let Caught { events, end_seconds, .. } = caught;
    match caught.end {
        End::Complete => {
            let up_to_date = caught.up_to_date_seconds.unwrap_or(*end_seconds);
            format!("\n    a stalled one got all {events} events in order, up to date after {up_to_date:.2} s")
        }
        End::Compacted { revision } => format!(
            "\n    a stalled one got {events} events in order, then compact_revision {revision} after {end_seconds:.2} s"
        ),
    }
}

fn mib(bytes: Spread) -> String {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    format!("{:.1} MiB ({:.1} to {:.1})", mib(bytes.median), mib(bytes.min), mib(bytes.max))
}
