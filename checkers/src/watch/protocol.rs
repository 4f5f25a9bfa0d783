//! How a watch begins, ends and is carried on.

use std::time::Duration;

use registry_proto::etcdserverpb::WatchResponse;

use super::{Judge, Progress, Wrong};
use crate::chronicle::{events_of, first_revision, happened, is_progress, revision_of};
use crate::history::{Watch, WatchEnd};
use crate::report::Promise;

pub(super) fn check(judge: Judge<'_>, watch: &Watch) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (at, (_, answer)) in watch.answers.iter().enumerate() {
        if at == 0 && !answer.created && !answer.canceled {
            wrong.push("the first answer is not that to its creation".to_owned());
        }
        if at > 0 && answer.created {
            wrong.push("it is created twice".to_owned());
        }
        if at > 0 && watch.answers[at - 1].1.canceled {
            wrong.push("something comes after its cancellation".to_owned());
        }
        if answer.canceled && !answer.events.is_empty() {
            wrong.push("its cancellation holds events".to_owned());
        }
    }
    let never_created = watch.answers.is_empty() && watch.end.is_none();
    if never_created && judge.history.healed.is_some_and(|healed| watch.opened < healed) {
        wrong.push("its creation was never answered".to_owned());
    }
    wrong.extend(ended(judge, watch));
    wrong.into_iter().map(|text| (Promise::WatchProtocol, text)).collect()
}

/// A cancellation below the compacted revision names a compaction that was asked for, and one that took what
/// the watch still needed; any other says why.
fn ended(judge: Judge<'_>, watch: &Watch) -> Option<String> {
    let is_cancelled = matches!(watch.end, Some((_, WatchEnd::Cancelled)));
    let Some((at, last)) = watch.answers.last().filter(|(_, last)| last.canceled) else {
        return is_cancelled.then(|| "it is cancelled without an answer that says so".to_owned());
    };
    let compacted = last.compact_revision;
    if compacted == 0 {
        return (is_cancelled && last.cancel_reason.is_empty()).then(|| "it is cancelled without a reason".to_owned());
    }
    needless(judge, watch, *at, compacted)
}

fn needless(judge: Judge<'_>, watch: &Watch, at: Duration, compacted: i64) -> Option<String> {
    if !judge.compactions.was_asked(compacted, at) {
        return Some(format!("it is cancelled for a compaction at {compacted}, which nobody asked for"));
    }
    let asked = watch.request.start_revision;
    let first = first_revision(watch).or((asked > 0).then_some(asked))?;
    let next = watch.answers.iter().map(|(_, answer)| told(answer) + 1).fold(first, i64::max);
    (next >= compacted).then(|| format!("it needs {next}, and is cancelled for a compaction at {compacted}"))
}

/// Up to where an answer tells all.
fn told(answer: &WatchResponse) -> i64 {
    if is_progress(answer) { revision_of(answer) } else { events_of(answer).last().map_or(0, happened) }
}

/// A watch that carries on from another begins after the last event that the other told whole, and leaves
/// nothing out. After a compaction it may begin later.
pub(super) fn resumed(watch: &Watch, before: &Watch, upto: Progress) -> Option<Wrong> {
    let start = first_revision(watch)?;
    let first = upto.first?;
    let after = upto.last_event.map_or(first, |last| last + 1);
    let was_compacted = before.answers.last().is_some_and(|(_, last)| last.compact_revision > 0);
    let is_right = start >= after.min(upto.upto + 1) && (was_compacted || start <= upto.upto.max(after - 1) + 1);
    let text = || format!("it carries on at {start}, and what it carries on from had told all up to {}", upto.upto);
    (!is_right).then(|| (Promise::WatchResumable, text()))
}
