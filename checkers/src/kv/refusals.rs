//! Compaction and the future: which revisions must be refused, and which must not.
//!
//! etcd refuses what is below the compacted revision and what is above the newest. A compaction of unknown
//! outcome may excuse a refusal and demands none.

use std::collections::HashMap;
use std::time::Duration;

use crate::bounds::Bounds;
use crate::effects::{Part, is_linearizable, parts};
use crate::history::{Call, History, Outcome};
use crate::model::{COMPACTED, FUTURE_REVISION, Operation};
use crate::report::{Promise, Violation};

/// The compactions that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Compactions {
    /// When it was asked, and the highest revision so far; whether or not it is known to have happened.
    possible: Vec<(Duration, i64)>,
    /// When each revision was asked for first.
    asked: HashMap<i64, Duration>,
    /// Revision and when it was answered, in the order of time, with the highest so far.
    certain: Vec<(Duration, i64, usize)>,
}

impl Compactions {
    pub(crate) fn of(history: &History) -> Self {
        let mut compactions = Self::default();
        for (index, call) in history.calls.iter().enumerate() {
            let Operation::Compact(request) = &call.operation else { continue };
            if call.is_possible() {
                compactions.possible.push((call.asked, request.revision));
                let first = compactions.asked.entry(request.revision).or_insert(call.asked);
                *first = call.asked.min(*first);
            }
            if call.answer().is_some() {
                compactions.certain.push((call.done(), request.revision, index));
            }
        }
        compactions.possible.sort_unstable();
        for at in 1..compactions.possible.len() {
            compactions.possible[at].1 = compactions.possible[at].1.max(compactions.possible[at - 1].1);
        }
        compactions.certain.sort_unstable();
        for at in 1..compactions.certain.len() {
            let before = compactions.certain[at - 1];
            if before.1 > compactions.certain[at].1 {
                (compactions.certain[at].1, compactions.certain[at].2) = (before.1, before.2);
            }
        }
        compactions
    }

    /// Whether history may begin above a revision, by some time.
    pub(crate) fn may_hide(&self, revision: i64, by: Duration) -> bool {
        let before = self.possible.partition_point(|(asked, _)| *asked <= by);
        self.possible[..before].last().is_some_and(|(_, compacted)| *compacted > revision)
    }

    /// Whether somebody asked for exactly this one, by some time.
    pub(crate) fn was_asked(&self, revision: i64, by: Duration) -> bool {
        self.asked.get(&revision).is_some_and(|asked| *asked <= by)
    }

    /// The highest that was acknowledged before a time, and by which call.
    fn before(&self, time: Duration) -> Option<(i64, usize)> {
        let before = self.certain.partition_point(|(at, ..)| *at < time);
        self.certain[..before].last().map(|(_, revision, index)| (*revision, *index))
    }
}

pub(crate) fn check(history: &History, bounds: &Bounds, compactions: &Compactions) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, call) in history.calls.iter().enumerate() {
        let wrong = match &call.outcome {
            Outcome::Answered(_) => answered(call, compactions),
            Outcome::Refused(refusal) if *refusal == COMPACTED => refused_as_compacted(call, compactions),
            Outcome::Refused(refusal) if *refusal == FUTURE_REVISION => refused_as_future(call, bounds),
            _ => None,
        };
        violations.extend(wrong.map(|text| Violation::new(Promise::RightRefusal, text).calls([index])));
    }
    violations
}

/// The old revisions that an operation reads, on whatever branch.
fn revisions(operation: &Operation) -> Vec<i64> {
    let asked = parts(operation).into_iter().filter_map(|part| match part {
        Part::Range(range) => Some(range.revision),
        _ => None,
    });
    asked.filter(|revision| *revision > 0).collect()
}

/// A read below a compaction that was acknowledged before. Of a transaction it is not known which branch was
/// taken.
fn answered(call: &Call, compactions: &Compactions) -> Option<String> {
    let asked = match &call.operation {
        Operation::Range(range) if !range.serializable => range.revision,
        Operation::Compact(request) => request.revision - 1,
        _ => return None,
    };
    let (compacted, _) = compactions.before(call.asked).filter(|(compacted, _)| asked > 0 && asked < *compacted)?;
    Some(format!("{:?} was answered, after {compacted} was compacted", call.operation))
}

fn refused_as_compacted(call: &Call, compactions: &Compactions) -> Option<String> {
    let is_excused = match &call.operation {
        // A revision that is not positive was never there.
        Operation::Compact(request) => request.revision <= 0 || compactions.may_hide(request.revision - 1, call.done()),
        operation if has_negative_revision(operation) => true,
        operation => revisions(operation).iter().any(|asked| compactions.may_hide(*asked, call.done())),
    };
    (!is_excused).then(|| format!("{:?} was refused as compacted, and nobody compacted that far", call.operation))
}

fn has_negative_revision(operation: &Operation) -> bool {
    parts(operation).iter().any(|part| matches!(part, Part::Range(range) if range.revision < 0))
}

fn refused_as_future(call: &Call, bounds: &Bounds) -> Option<String> {
    if !is_linearizable(&call.operation) {
        return None;
    }
    let asked = match &call.operation {
        Operation::Compact(request) => vec![request.revision],
        operation => revisions(operation),
    };
    let (told, _) = bounds.told_before(call.asked)?;
    let is_past = asked.iter().all(|asked| *asked <= told);
    is_past.then(|| format!("{:?} was refused as in the future, and {told} was told before", call.operation))
}
