//! The lines for people.

use std::fmt::Write as _;

use super::{Cost, Plan, Round, Rounds};

const MIB: f64 = 1_048_576.0;

/// A step's name, and where it is in a round.
type Step = (&'static str, fn(&Round) -> Cost);

const STEPS: [Step; 3] =
    [("save", |round| round.save), ("status", |round| round.status), ("restore", |round| round.restore)];

pub(super) fn head(plan: &Plan) -> String {
    let load = &plan.load;
    let title = format!("{} keys of {} bytes, values of {}", load.key_space, load.key_bytes, load.value_bytes);
    format!("{title}\n{:40} {:>9} {:>9} {:>9}", "", "seconds", "peak MiB", "own MiB")
}

pub(super) fn rows(name: &str, round: &Round) -> Vec<String> {
    let mut rows: Vec<_> =
        STEPS.iter().map(|(step, cost_of)| row(&format!("{name}, {step}"), cost_of(round))).collect();
    rows.push(format!("{:40} the file has {:.1} MiB", "", round.file_bytes as f64 / MIB));
    rows
}

fn row(name: &str, cost: Cost) -> String {
    let (peak, own) = (cost.peak_bytes as f64 / MIB, cost.anonymous_bytes as f64 / MIB);
    format!("{name:40} {:9.3} {peak:9.1} {own:9.1}", cost.seconds)
}

/// Medians of each step, and the first side's beside the second's.
pub(super) fn medians(sides: &[Rounds]) -> String {
    let mut text = String::from("medians:\n");
    for (step, cost_of) in STEPS {
        let medians: Vec<Cost> = sides.iter().map(|side| median_cost(&side.rounds, cost_of)).collect();
        for (side, cost) in sides.iter().zip(&medians) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", row(&format!("{}, {step}", side.name), *cost));
        }
        if let [own, peer] = medians[..] {
            let (time, memory) = (own.seconds / peer.seconds, own.peak_bytes as f64 / peer.peak_bytes as f64);
            let _ = writeln!(text, "{:40} {time:9.3} {memory:9.3}", format!("{step}, ratio"));
        }
    }
    text
}

fn median_cost(rounds: &[Round], cost_of: fn(&Round) -> Cost) -> Cost {
    let median = |value: &dyn Fn(Cost) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(|round| value(cost_of(round))).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        seconds: median(&|cost| cost.seconds),
        peak_bytes: median(&|cost| cost.peak_bytes as f64) as u64,
        anonymous_bytes: median(&|cost| cost.anonymous_bytes as f64) as u64,
    }
}
