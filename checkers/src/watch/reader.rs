//! A watch's answers, one after the other.
//!
//! What always holds: `upto` is the last revision of which nothing may come any more; a revision is compared
//! once, when it is whole.

use std::time::Duration;

use registry_proto::etcdserverpb::WatchResponse;
use registry_proto::mvccpb::Event;

use super::revision::compare;
use super::{Judge, Progress, Wrong};
use crate::chronicle::{events_of, first_revision, happened, is_progress, revision_of};
use crate::history::Watch;
use crate::report::Promise;

/// A reading that goes on.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    judge: Judge<'a>,
    watch: &'a Watch,
    come_to: Progress,
    /// The revision that a fragment ended with, of which more may follow.
    open: Option<Vec<Event>>,
    /// The highest progress that was told.
    progress: i64,
    pub(super) wrong: Vec<Wrong>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(judge: Judge<'a>, watch: &'a Watch) -> Self {
        let first = first_revision(watch);
        let come_to = Progress { first, last_event: None, upto: first.unwrap_or(1) - 1 };
        Self { judge, watch, come_to, open: None, progress: 0, wrong: Vec::new() }
    }

    /// Reads all and tells how far the watch came.
    pub(super) fn read(&mut self) -> Progress {
        if self.come_to.first.is_some() {
            let watch = self.watch;
            for (at, answer) in &watch.answers {
                if is_progress(answer) {
                    self.progress(answer);
                } else if !answer.events.is_empty() {
                    self.events(*at, answer);
                }
            }
            self.end();
        }
        self.come_to
    }

    fn fail(&mut self, promise: Promise, text: String) {
        self.wrong.push((promise, text));
    }

    fn events(&mut self, at: Duration, answer: &WatchResponse) {
        let events = events_of(answer);
        let header = revision_of(answer);
        if events.last().map_or(0, happened) > header {
            self.fail(Promise::WatchTrue, format!("the header says {header}, before its events"));
        }
        if answer.fragment && !self.watch.request.fragment {
            self.fail(Promise::WatchAtomic, format!("an answer at {header} is a part, which was not asked for"));
        }
        let groups: Vec<_> = events.chunk_by(|left, right| happened(left) == happened(right)).collect();
        let last = groups.len().saturating_sub(1);
        for (number, group) in groups.into_iter().enumerate() {
            self.group(at, group, answer.fragment && number == last);
        }
    }

    /// Events of one revision that came together; more may follow.
    fn group(&mut self, at: Duration, group: &[Event], more: bool) {
        let revision = happened(&group[0]);
        let mut events = match self.open.take() {
            Some(open) if open.first().map(happened) == Some(revision) => open,
            open => {
                if let Some(open) = open {
                    self.whole(at, &open);
                }
                Vec::new()
            }
        };
        let is_begun = !events.is_empty();
        events.extend_from_slice(group);
        if !is_begun && !self.is_next(revision, group) {
            return;
        }
        if more {
            self.open = Some(events);
        } else {
            self.whole(at, &events);
        }
    }

    /// Whether a revision may come now; it may not if it came before, or was passed over.
    fn is_next(&mut self, revision: i64, group: &[Event]) -> bool {
        let Progress { first, last_event, upto } = self.come_to;
        if first.is_some_and(|first| revision < first) {
            self.fail(Promise::WatchFilter, format!("revision {revision} is told, from {first:?} on were asked for"));
        } else if last_event.is_some_and(|last| revision <= last) {
            self.again(revision, group);
        } else if revision <= upto {
            self.fail(Promise::WatchBookmarkable, format!("revision {revision} is told after the progress to {upto}"));
        } else {
            return true;
        }
        false
    }

    /// A revision that is not after the last that was told.
    fn again(&mut self, revision: i64, group: &[Event]) {
        let answers = self.watch.answers.iter().map(|(_, answer)| events_of(answer));
        let times: usize = answers.map(|told| told.iter().filter(|event| group.contains(event)).count()).sum();
        let last = self.come_to.last_event;
        if times > group.len() {
            self.fail(Promise::WatchUnique, format!("events of revision {revision} are told {times} times"));
        } else if last == Some(revision) {
            self.fail(Promise::WatchAtomic, format!("revision {revision} is split without a flag"));
        } else {
            self.fail(Promise::WatchOrdered, format!("revision {revision} is told after {last:?}"));
        }
    }

    fn whole(&mut self, at: Duration, events: &[Event]) {
        let revision = happened(&events[0]);
        if let Some(skipped) = self.judge.skipped(self.watch, self.come_to.upto, revision) {
            let text = format!("revision {skipped} is left out between {} and {revision}", self.come_to.upto);
            self.fail(Promise::WatchReliable, text);
        }
        if let Some(known) = self.judge.replayed.revisions.get(&revision) {
            let may_hide = self.judge.compactions.may_hide(revision - 1, at);
            let wrong = compare(&self.watch.request, known, events, may_hide, || self.comes_again(revision));
            self.wrong.extend(wrong);
        } else if self.judge.history.was_read_after(at) && self.judge.history.newest() < Some(revision) {
            self.fail(Promise::WatchTrue, format!("revision {revision} is told, which no member has at the end"));
        }
        self.come_to.last_event = Some(revision);
        self.come_to.upto = self.come_to.upto.max(revision);
    }

    /// Whether the revision's events stand in several answers.
    fn comes_again(&self, revision: i64) -> bool {
        let answers = self.watch.answers.iter().map(|(_, answer)| events_of(answer));
        answers.filter(|events| events.iter().any(|event| happened(event) == revision)).count() > 1
    }

    fn progress(&mut self, answer: &WatchResponse) {
        let revision = revision_of(answer);
        if let Some(open) = self.open.take() {
            self.fail(
                Promise::WatchBookmarkable,
                format!("progress to {revision} comes between the parts of {open:?}"),
            );
        }
        if let Some(early) = self.judge.skipped(self.watch, self.come_to.upto, revision + 1) {
            let text = format!("progress to {revision} comes before the events of revision {early}");
            self.fail(Promise::WatchBookmarkable, text);
        }
        if revision < self.progress.max(self.come_to.last_event.unwrap_or(0)) {
            self.fail(Promise::WatchBookmarkable, format!("progress goes back to {revision}"));
        }
        self.progress = self.progress.max(revision);
        self.come_to.upto = self.come_to.upto.max(revision);
    }

    /// A watch that is open at the end has told everything that the members had when they were read, if that
    /// was waited for.
    fn end(&mut self) {
        let is_waited_for = self.watch.end.is_none() && self.judge.history.healed.is_some();
        if !is_waited_for {
            return;
        }
        let newest = self.judge.history.newest().unwrap_or(i64::MAX - 1);
        if let Some(open) = self.open.take() {
            self.fail(Promise::WatchAtomic, format!("the rest of a revision never came: {open:?}"));
        } else if let Some(missing) = self.judge.skipped(self.watch, self.come_to.upto, newest + 1) {
            self.fail(Promise::WatchReliable, format!("revision {missing} and what follows never came"));
        }
    }
}
