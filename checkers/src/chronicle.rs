//! The history as watches of everything tell it: each revision with its events.
//!
//! From etcd's watch guarantees (ordered, unique, reliable, atomic) follows that all such watches tell the
//! same, and that of the revisions between a watch's beginning and the last that it told of none is missing:
//! every revision has an event.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use registry_proto::mvccpb::Event;
use registry_proto::stored::Records;

use crate::history::{History, Watch};
use crate::report::{Promise, Violation};

/// A revision as it was told first.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Without what was before.
    pub(crate) events: Vec<Event>,
    /// By which watch.
    pub(crate) watch: usize,
}

/// All that watches of everything told.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    pub(crate) revisions: BTreeMap<i64, Told>,
    /// From a watch's first revision to the last that it told of, joined where they meet, in their order.
    covered: Vec<(i64, i64)>,
}

impl Chronicle {
    pub(crate) fn of(history: &History, violations: &mut Vec<Violation>) -> Self {
        let mut chronicle = Self::default();
        let mut covered = Vec::new();
        for (index, watch) in history.watches.iter().enumerate() {
            if is_of_everything(&watch.request) {
                covered.extend(chronicle.add(index, watch, violations));
            }
        }
        covered.sort_unstable();
        for (from, to) in covered {
            match chronicle.covered.last_mut() {
                Some(last) if from <= last.1 + 1 => last.1 = last.1.max(to),
                _ => chronicle.covered.push((from, to)),
            }
        }
        chronicle
    }

    /// Whether some watch would have told of a revision.
    pub(crate) fn covers(&self, revision: i64) -> bool {
        let at = self.covered.partition_point(|(from, _)| *from <= revision);
        at > 0 && self.covered[at - 1].1 >= revision
    }

    /// The revisions from one to another that a watch covers but none told.
    pub(crate) fn missing(&self, from: i64, to: i64) -> Option<i64> {
        let covered = self.covered.iter().find(|covered| covered.0 <= to && covered.1 >= from)?;
        Some(covered.0.max(from))
    }

    /// Adds what a watch told, and tells what it covers.
    fn add(&mut self, index: usize, watch: &Watch, violations: &mut Vec<Violation>) -> Option<(i64, i64)> {
        let first = first_revision(watch)?;
        let mut last = first - 1;
        for (revision, events) in whole_revisions(watch) {
            last = last.max(revision);
            match self.revisions.get(&revision) {
                Some(told) if told.events != events && told.watch != index => {
                    let text = format!("revision {revision} is told as {:?} and as {events:?}", told.events);
                    violations.push(Violation::new(Promise::OneHistory, text).watches([told.watch, index]));
                }
                Some(_) => {}
                None => {
                    self.revisions.insert(revision, Told { events, watch: index });
                }
            }
        }
        let progress =
            watch.answers.iter().filter(|(_, answer)| is_progress(answer)).map(|(_, answer)| revision_of(answer));
        let last = progress.fold(last, i64::max);
        (last >= first).then_some((first, last))
    }
}

/// Whether nothing that happens from its start on is left out.
fn is_of_everything(request: &WatchCreateRequest) -> bool {
    (request.key.is_empty() || request.key == "\0") && request.range_end == "\0" && request.filters.is_empty()
}

/// The first revision that a watch is about: what was asked for, or what came next when it was created.
pub(crate) fn first_revision(watch: &Watch) -> Option<i64> {
    let (_, created) = watch.answers.first().filter(|(_, answer)| answer.created && !answer.canceled)?;
    match watch.request.start_revision {
        0 => Some(revision_of(created) + 1),
        asked => Some(asked).filter(|asked| *asked > 0),
    }
}

/// The revision in the header.
pub(crate) fn revision_of(answer: &WatchResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}

/// Whether an answer says nothing but how far the watch has come.
pub(crate) fn is_progress(answer: &WatchResponse) -> bool {
    !answer.created && !answer.canceled && answer.events.is_empty()
}

/// The events of an answer; what does not decode counts as none.
pub(crate) fn events_of(answer: &WatchResponse) -> Cow<'_, [Event]> {
    match &answer.events {
        Records::Decoded(events) => Cow::Borrowed(events),
        stored @ Records::Stored(_) => Cow::Owned(stored.clone().into_messages().unwrap_or_default()),
    }
}

/// When an event happened.
pub(crate) fn happened(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// An event's key.
pub(crate) fn key_of(event: &Event) -> Bytes {
    event.kv.as_ref().map(|kv| kv.key.clone()).unwrap_or_default()
}

/// Whether two events tell the same, but for what was before.
pub(crate) fn is_same(one: &Event, other: &Event) -> bool {
    one.r#type == other.r#type && one.kv == other.kv
}

/// Events without what was before.
pub(crate) fn bare(events: &[Event]) -> Vec<Event> {
    events.iter().map(|event| Event { prev_kv: None, ..event.clone() }).collect()
}

/// The revisions that a watch told whole, each where it was told first; a last one of which more was to follow
/// is left out.
fn whole_revisions(watch: &Watch) -> BTreeMap<i64, Vec<Event>> {
    let mut whole: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    let mut open: Option<i64> = None;
    for (_, answer) in &watch.answers {
        let events = events_of(answer);
        for group in events.chunk_by(|left, right| happened(left) == happened(right)) {
            let revision = happened(&group[0]);
            if open == Some(revision) || !whole.contains_key(&revision) {
                whole.entry(revision).or_default().extend(bare(group));
            }
            open = None;
        }
        open = answer.fragment.then(|| events.last().map(happened)).flatten();
    }
    if let Some(revision) = open {
        whole.remove(&revision);
    }
    whole
}
