//! The replay: revision after revision, the write that made it, then the reads that were answered at it.
//!
//! The model follows what was told: where a write's answer and the chronicle differ, that is a violation, and
//! the chronicle's events are taken over, so that what comes later is judged by what happened. After a gap the
//! state is not known and answers are not compared, up to a read of everything ([`resumption`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_proto::mvccpb::event::EventType;
use registry_proto::mvccpb::{Event, KeyValue};

use super::claims::{Claims, Unclaimed, takes_all_keys};
use super::matching::without_a_call;
use super::wrong::{compare, differs, unexplained};
use super::{Known, Replayed, resumption};
use crate::bounds::Bounds;
use crate::chronicle::{Chronicle, bare};
use crate::effects;
use crate::history::History;
use crate::model::{Answer, Dialect, Model, Operation};
use crate::report::{Promise, Violation};

/// A new store's revision.
const FIRST: i64 = 1;

/// The answered calls of one revision.
#[derive(Debug, Default)]
struct At {
    /// Those that say that they changed something.
    writes: Vec<usize>,
    /// These do not say it.
    revokes: Vec<usize>,
    /// Those that changed nothing and tell of the state.
    reads: Vec<usize>,
}

/// A replay that goes on.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    history: &'a History,
    chronicle: &'a Chronicle,
    bounds: &'a Bounds,
    claims: Claims,
    /// None after a gap.
    model: Option<Model>,
    dialect: Dialect,
    /// The oldest revision that the model can tell of.
    oldest: i64,
    unclaimed: Vec<Unclaimed>,
    out: Replayed,
}

impl<'a> Replay<'a> {
    pub(crate) fn of(history: &'a History, chronicle: &'a Chronicle, bounds: &'a Bounds, dialect: Dialect) -> Replayed {
        let model = Some(Model::new(dialect));
        let (claims, out) = (Claims::of(history), Replayed::default());
        let (unclaimed, oldest) = (Vec::new(), FIRST);
        let mut replay = Self { history, chronicle, bounds, claims, model, dialect, oldest, unclaimed, out };
        let by_revision = by_revision(history);
        let mut numbers: BTreeSet<i64> = by_revision.keys().chain(chronicle.revisions.keys()).copied().collect();
        numbers.insert(FIRST);
        let mut last = FIRST - 1;
        for revision in numbers {
            if revision > last + 1 {
                replay.gap(last + 1, revision - 1);
            }
            replay.revision(revision, by_revision.get(&revision).unwrap_or(&At::default()));
            last = revision;
        }
        replay.give_away();
        replay.out.model = replay.model;
        replay.out
    }

    /// Nobody tells what happened in these revisions.
    fn gap(&mut self, from: i64, to: i64) {
        if let Some(missing) = self.chronicle.missing(from, to) {
            let text = format!("revision {missing} is told by no watch, though some tell of later ones");
            self.out.violations.push(Violation::new(Promise::NoGap, text));
        }
        self.unknown(from, to);
    }

    /// From here on the state is not known.
    fn unknown(&mut self, from: i64, to: i64) {
        self.model = None;
        match self.out.gaps.last_mut() {
            Some(last) if last.1 + 1 == from => last.1 = to,
            _ => self.out.gaps.push((from, to)),
        }
    }

    fn revision(&mut self, revision: i64, at: &At) {
        if revision > FIRST {
            self.write(revision, at);
        }
        if self.model.is_none() {
            let reads = at.reads.iter().map(|index| &self.history.calls[*index]);
            self.model = resumption::model(reads, revision, self.dialect);
            self.oldest = revision;
        }
        let Some(model) = &mut self.model else { return };
        for index in &at.reads {
            let call = &self.history.calls[*index];
            if !resumption::is_known(&call.operation, self.oldest) {
                continue;
            }
            let expected = model.peek(&call.operation);
            self.out.compared += 1;
            self.out
                .violations
                .extend(compare(call, expected.map(|(answer, _)| answer)).map(|wrong| wrong.calls([*index])));
        }
        for index in &at.revokes {
            let Operation::LeaseRevoke(request) = &self.history.calls[*index].operation else { continue };
            let left = model.keys_of(request.id);
            if !left.is_empty() {
                let text = format!("lease {} was revoked by revision {revision}, and {left:?} are there", request.id);
                self.out.violations.push(Violation::new(Promise::LeaseTakesItsKeys, text).calls([*index]));
            }
        }
    }

    /// Finds out whose revision it is and takes over what it did.
    fn write(&mut self, revision: i64, at: &At) {
        let told = self.chronicle.revisions.get(&revision).map(|told| &told.events[..]);
        let owner = at.writes.first().copied();
        if at.writes.len() > 1 {
            let text = format!("revision {revision} was told for several writes");
            let wrong = Violation::new(Promise::OneWriteARevision, text).calls(at.writes.iter().copied());
            self.out.violations.push(wrong);
        }
        let events = match (owner, self.revoked_lease(at, told)) {
            (Some(owner), _) => self.owned(revision, owner, told),
            (None, Some(lease)) => self.revoked(lease, told),
            (None, None) => self.unowned(revision, told),
        };
        // Only here it is certain that the revision is what the model now is at.
        let Some(events) = events else {
            if self.chronicle.covers(revision) && owner.is_none() {
                let text = format!("revision {revision} is told by no watch, though some tell of later ones");
                self.out.violations.push(Violation::new(Promise::NoGap, text));
            }
            return self.unknown(revision, revision);
        };
        let known = Known { events, knows_before: self.model.is_some() };
        self.out.revisions.insert(revision, known);
    }

    /// What an answered write did; its answer is compared, and its events with those that were told.
    fn owned(&mut self, revision: i64, owner: usize, told: Option<&[Event]>) -> Option<Vec<Event>> {
        let call = &self.history.calls[owner];
        let Some(model) = &mut self.model else { return told.map(<[Event]>::to_vec) };
        let expected = model.peek(&call.operation);
        self.out.compared += 1;
        let (answer, events) = match expected {
            Ok((answer, events)) => (Ok(answer), events),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let wrong = compare(call, answer);
        let has_effect = !events.is_empty();
        self.out.violations.extend(wrong.map(|wrong| wrong.calls([owner])));
        let expected = bare(&events);
        if told.is_none() && self.chronicle.covers(revision) {
            let text =
                format!("{} was acknowledged at revision {revision}, which no watch tells", call.operation.kind());
            self.out.violations.push(Violation::new(Promise::NoLostWrite, text).calls([owner]));
        }
        match told {
            Some(told) if told != expected => {
                let watch = self.chronicle.revisions[&revision].watch;
                let wrong = differs(revision, call, &expected, told).calls([owner]).watches([watch]);
                self.out.violations.push(wrong);
                Some(model.take_over(told))
            }
            None if !has_effect => None,
            _ => model.replay(&call.operation).ok().map(|(_, events)| events),
        }
    }

    /// The lease whose end, by an answered revoke, explains the revision.
    fn revoked_lease(&self, at: &At, told: Option<&[Event]>) -> Option<i64> {
        let model = self.model.as_ref()?;
        let leases = at.revokes.iter().filter_map(|index| match &self.history.calls[*index].operation {
            Operation::LeaseRevoke(request) => Some(request.id),
            _ => None,
        });
        let mut explaining = leases.filter(|lease| match told {
            Some(events) => takes_all_keys(model, *lease, events),
            None => !model.keys_of(*lease).is_empty(),
        });
        explaining.next()
    }

    fn revoked(&mut self, lease: i64, told: Option<&[Event]>) -> Option<Vec<Event>> {
        let model = self.model.as_mut()?;
        let gone: Vec<_> = model.keys_of(lease).into_iter().map(deleted).collect();
        Some(model.take_over(told.unwrap_or(&gone)))
    }

    fn unowned(&mut self, revision: i64, told: Option<&[Event]>) -> Option<Vec<Event>> {
        let told = told?;
        let unclaimed = self.claims.explain(self.history, self.bounds, (revision, told), self.model.as_mut());
        self.unclaimed.push(unclaimed);
        Some(match &mut self.model {
            Some(model) => model.take_over(told),
            None => told.to_vec(),
        })
    }

    /// Gives each revision without an answer to one call of unknown outcome, or to nobody where a lease's end
    /// or the SDK explains it.
    fn give_away(&mut self) {
        let (free, bound): (Vec<_>, Vec<_>) =
            self.unclaimed.iter().partition(|unclaimed| unclaimed.lease.is_some() || unclaimed.registered);
        let (left, taken) = without_a_call(&bound);
        self.out.found = taken.len();
        self.out.violations.extend(left.iter().map(|at| unexplained(bound[*at], self.history)));
        for unclaimed in free.iter().filter(|unclaimed| unclaimed.candidates.is_empty() && !unclaimed.registered) {
            if let Some(lease) = unclaimed.lease {
                self.out.expiries.entry(lease).or_insert(unclaimed.revision);
            }
        }
    }
}

/// The answered calls by the revision of their header.
fn by_revision(history: &History) -> BTreeMap<i64, At> {
    let mut all: BTreeMap<i64, At> = BTreeMap::new();
    for (index, call) in history.calls.iter().enumerate() {
        let (Some(answer), Some(revision)) = (call.answer(), call.revision()) else { continue };
        let at = all.entry(revision).or_default();
        match answer {
            answer if effects::changed(answer) => at.writes.push(index),
            Answer::LeaseRevoke(_) => at.revokes.push(index),
            Answer::Range(_) | Answer::DeleteRange(_) | Answer::Txn(_) => at.reads.push(index),
            _ => {}
        }
    }
    all
}

fn deleted(key: Bytes) -> Event {
    let kv = Some(KeyValue { key, ..KeyValue::default() });
    Event { r#type: EventType::Delete.into(), kv, prev_kv: None }
}
