//! On one member nothing goes backwards, not even what may be stale.
//!
//! etcd's serializable reads may miss what other members know; but a member that has told of a revision, in
//! whatever answer, does not forget it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::History;
use crate::report::{Promise, Violation};

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut told: BTreeMap<u64, Vec<Told>> = BTreeMap::new();
    for (index, call) in history.calls.iter().enumerate() {
        if let Some(revision) = call.revision() {
            told.entry(call.member).or_default().push(Told { at: call.done(), revision, call: index });
        }
    }
    for answers in told.values_mut() {
        answers.sort_by_key(|answer| answer.at);
        for at in 1..answers.len() {
            if answers[at - 1].revision > answers[at].revision {
                answers[at] = Told { at: answers[at].at, ..answers[at - 1] };
            }
        }
    }
    let calls = history.calls.iter().enumerate();
    calls.filter_map(|(index, call)| backwards(index, call.asked, call.revision()?, told.get(&call.member)?)).collect()
}

/// A revision that a member had told by some time, and in which answer.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: Duration,
    revision: i64,
    call: usize,
}

fn backwards(index: usize, asked: Duration, revision: i64, told: &[Told]) -> Option<Violation> {
    let before = told.partition_point(|told| told.at < asked);
    let last = told[..before].last().filter(|last| last.revision > revision)?;
    let text = format!("a member told of revision {revision} after it had told of {}", last.revision);
    Some(Violation::new(Promise::Monotonic, text).calls([last.call, index]))
}
