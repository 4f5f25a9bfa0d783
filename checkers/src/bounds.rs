//! What real time says of revisions: by when one had surely happened, and until when surely not.
//!
//! Strict serializability is the order of revisions together with real time: whoever asks after an answer was
//! given must see its revision. Every header tells of a revision that was committed by then, whoever answered.

use std::time::Duration;

use crate::chronicle::{events_of, happened, revision_of};
use crate::effects::is_linearizable;
use crate::history::History;

/// Who told of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Call(usize),
    Watch(usize),
}

/// The revisions that were told, by time.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// When a revision was told, with the highest so far.
    told: Vec<(Duration, i64, Source)>,
    /// A revision, and the first time that it or a later one was told; in the order of revisions.
    seen: Vec<(i64, Duration)>,
    /// A revision that a linearizable call was answered with, and the last time that such a call with it or an
    /// earlier one was asked; in the order of revisions.
    unseen: Vec<(i64, Duration)>,
}

impl Bounds {
    pub(crate) fn of(history: &History) -> Self {
        let mut told = Vec::new();
        let mut unseen = Vec::new();
        for (index, call) in history.calls.iter().enumerate() {
            let Some(revision) = call.revision() else { continue };
            told.push((call.done(), revision, Source::Call(index)));
            if is_linearizable(&call.operation) {
                unseen.push((revision, call.asked));
            }
        }
        for (index, watch) in history.watches.iter().enumerate() {
            for (at, answer) in &watch.answers {
                let last = events_of(answer).last().map_or(0, happened);
                told.push((*at, revision_of(answer).max(last), Source::Watch(index)));
            }
        }
        let mut seen: Vec<_> = told.iter().map(|(at, revision, _)| (*revision, *at)).collect();
        seen.sort_unstable();
        for at in (1..seen.len()).rev() {
            seen[at - 1].1 = seen[at - 1].1.min(seen[at].1);
        }
        unseen.sort_unstable();
        for at in 1..unseen.len() {
            unseen[at].1 = unseen[at].1.max(unseen[at - 1].1);
        }
        told.sort_by_key(|(at, ..)| *at);
        for at in 1..told.len() {
            if told[at - 1].1 > told[at].1 {
                (told[at].1, told[at].2) = (told[at - 1].1, told[at - 1].2);
            }
        }
        Self { told, seen, unseen }
    }

    /// The highest revision that was told before a time, and by whom.
    pub(crate) fn told_before(&self, time: Duration) -> Option<(i64, Source)> {
        let before = self.told.partition_point(|(at, ..)| *at < time);
        self.told[..before].last().map(|(_, revision, source)| (*revision, *source))
    }

    /// When it was first known that a revision had happened.
    pub(crate) fn seen(&self, revision: i64) -> Option<Duration> {
        let before = self.seen.partition_point(|(told, _)| *told < revision);
        self.seen.get(before).map(|(_, at)| *at)
    }

    /// The last time at which a revision had surely not happened yet.
    pub(crate) fn unseen(&self, revision: i64) -> Option<Duration> {
        let before = self.unseen.partition_point(|(told, _)| *told < revision);
        self.unseen[..before].last().map(|(_, at)| *at)
    }
}
