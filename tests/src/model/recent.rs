//! The operations before a disagreement, of which those are told that may explain it.

use std::collections::VecDeque;
use std::fmt::Write;

use super::Refusal;
use super::footprint::Footprint;
use super::{Answer, Operation};

/// Operations that are remembered, and of these how many are told.
const REMEMBERED: usize = 20_000;
const TOLD: usize = 10;

/// An operation and what must come of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) operation: Operation,
    pub(super) expected: Result<Answer, Refusal>,
}

/// The last steps that agreed.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Step>);

impl Recent {
    pub(super) fn push(&mut self, step: Step) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(step);
    }

    /// How an answer differs from what was expected, and what led there.
    pub(super) fn report(&self, step: &Step, got: &str) -> String {
        let mut report = format!("{}: {:?}\n", step.number, step.operation);
        let _ = writeln!(report, "expected: {:?}\n     got: {got}", step.expected);
        let footprint = Footprint::of(&step.operation);
        let related = self.0.iter().rev().filter(|past| Footprint::of(&past.operation).meets(&footprint));
        let related: Vec<_> = related.take(TOLD).collect();
        let _ = writeln!(report, "the last operations that concern it:");
        for past in related.into_iter().rev() {
            let _ = writeln!(report, "  {}: {:?}\n      -> {:?}", past.number, past.operation, past.expected);
        }
        report
    }
}
