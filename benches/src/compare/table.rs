//! The lines for people.

use std::fmt::Write as _;

use super::plan::PAIRS_THAT_COUNT;
use super::result::{Line, Outcome};

/// Width of what is measured, and of a server's values.
const WHAT: usize = 32;
const NAME: usize = 28;

/// All of one row: a line for each measure.
pub(super) fn of_row(names: &[String], outcome: &Outcome) -> String {
    let mut text = format!("\n{}\n{}", title(outcome), head(names));
    for line in &outcome.lines {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}", row(&quantity(line), line));
    }
    if let Some(error) = &outcome.error {
        let _ = write!(text, "\nno figures: {error}");
    }
    text
}

/// All lines that have a goal, of all rows.
pub(super) fn of_goals(names: &[String], outcomes: &[Outcome]) -> String {
    let mut text = format!("\n{}", head(names));
    for outcome in outcomes {
        let _ = write!(text, "\n{}", title(outcome));
        for line in outcome.lines.iter().filter(|line| line.goal.is_some()) {
            let _ = write!(text, "\n{}", row(&quantity(line), line));
        }
        if let Some(error) = &outcome.error {
            let _ = write!(text, "\n  no figures: {error}");
        }
    }
    let verdicts = || outcomes.iter().flat_map(|outcome| &outcome.lines).filter_map(|line| line.met);
    let (met, all) = (verdicts().filter(|met| *met).count(), verdicts().count());
    let _ = write!(text, "\n\n{met} of {all} goals met by the median");
    if outcomes.iter().any(|outcome| outcome.pairs.len() < PAIRS_THAT_COUNT) {
        let _ = write!(text, "; fewer than {PAIRS_THAT_COUNT} pairs are a hint and decide nothing");
    }
    text
}

fn title(outcome: &Outcome) -> String {
    let (nodes, pairs) = (counted(outcome.nodes, "node"), counted(outcome.pairs.len(), "pair"));
    format!("{}: {}; {nodes}, {pairs}", outcome.row.name(), outcome.title)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn head(names: &[String]) -> String {
    let mut text = format!("{:WHAT$}", "");
    for name in names {
        let _ = write!(text, " {name:>NAME$}");
    }
    let _ = write!(text, " {:>24} {:>10} {:>8}", "ratio", "goal", "");
    text
}

fn quantity(line: &Line) -> String {
    if line.unit.is_empty() {
        line.measure.name().to_owned()
    } else {
        format!("{}, {}", line.measure.name(), line.unit)
    }
}

fn row(name: &str, line: &Line) -> String {
    let mut text = format!("{:WHAT$}", format!("  {name}"));
    for value in &line.values {
        let _ = write!(text, " {value:>NAME$}");
    }
    let ratio = line.ratio.map_or_else(|| "-".to_owned(), |ratio| ratio.to_string());
    let goal = line.goal.map_or_else(String::new, |goal| goal.bound.to_string());
    let verdict = match line.met {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "",
    };
    let _ = write!(text, " {ratio:>24} {goal:>10} {verdict:>8}");
    text
}

#[cfg(test)]
mod tests {
    use super::super::result::{lines, tests::sample};
    use super::super::rows::Row;
    use super::*;

    fn outcome(throughput: f64) -> Outcome {
        let pairs = vec![vec![sample(throughput, 10.0), sample(100.0, 40.0)]];
        let (row, nodes) = (Row::Put, 1);
        let lines = lines(row, nodes, &pairs);
        Outcome { row, title: "put".to_owned(), nodes, seconds: 1.0, pairs, lines, error: None }
    }

    #[test]
    fn every_line_of_a_row_has_the_columns_of_the_head() {
        let names = ["ours".to_owned(), "theirs".to_owned()];
        let text = of_row(&names, &outcome(250.0));
        let widths: Vec<usize> = text.lines().skip(2).map(|line| line.chars().count()).collect();
        assert!(widths.len() == 3 && widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(text.contains("put: put; 1 node, 1 pair") && text.contains("throughput, op/s"), "{text}");
    }

    #[test]
    fn what_is_met_and_what_is_not_is_said_and_counted() {
        let names = ["ours".to_owned(), "theirs".to_owned()];
        let failed = Outcome { lines: Vec::new(), error: Some("the server ended".to_owned()), ..outcome(1.0) };
        let text = of_goals(&names, &[outcome(250.0), outcome(240.0), failed]);
        assert!(text.contains("3 of 4 goals met") && text.contains("NOT MET") && text.contains("≥ 2.5"), "{text}");
        assert!(text.contains("a hint") && text.contains("no figures: the server ended"), "{text}");
    }
}
