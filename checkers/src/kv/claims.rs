//! Who may have written a revision that no answer claims.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use registry_proto::mvccpb::Event;

use crate::bounds::Bounds;
use crate::chronicle::{bare, key_of};
use crate::effects;
use crate::history::{History, Outcome};
use crate::model::{Model, Operation, is_in};

/// What the calls would write, to find a call by what was written.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    values: HashMap<(Bytes, Bytes), Vec<usize>>,
    /// Calls of unknown outcome that can write without a value of their own.
    valueless: Vec<usize>,
    /// Revokes of unknown outcome, by their lease.
    revokes: HashMap<i64, Vec<usize>>,
    /// Keys that the SDK writes, whose calls are not known.
    registered: HashSet<Bytes>,
}

/// A revision that no answer claims, and all that may explain it.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed {
    pub(crate) revision: i64,
    /// Calls of unknown outcome that would have done exactly this.
    pub(crate) candidates: Vec<usize>,
    /// Such calls that were asked only after this was told.
    pub(crate) too_late: Vec<usize>,
    /// Calls that hold a value of it but were refused.
    pub(crate) refused: Vec<usize>,
    /// Calls that hold a value of it but were answered with another revision.
    pub(crate) elsewhere: Vec<usize>,
    /// Calls of unknown outcome that hold a value of it and would have done something else.
    pub(crate) otherwise: Vec<usize>,
    /// The lease whose end it may be.
    pub(crate) lease: Option<i64>,
    /// The SDK may have written it.
    pub(crate) registered: bool,
}

impl Claims {
    pub(crate) fn of(history: &History) -> Self {
        let mut claims = Self::default();
        for (index, call) in history.calls.iter().enumerate() {
            for value in effects::values(&call.operation) {
                claims.values.entry(value).or_default().push(index);
            }
            let is_unknown = matches!(call.outcome, Outcome::Unknown(_));
            if is_unknown && (effects::keeps_a_value(&call.operation) || effects::deletes(&call.operation)) {
                claims.valueless.push(index);
            }
            if let Operation::LeaseRevoke(request) = &call.operation
                && is_unknown
            {
                claims.revokes.entry(request.id).or_default().push(index);
            }
        }
        claims.registered = history.registrations.iter().map(|registration| registration.key.clone()).collect();
        claims
    }

    /// What may explain the events of the model's next revision. Without a model, which is so after a gap,
    /// whoever holds a value of it may.
    pub(crate) fn explain(
        &self,
        history: &History,
        bounds: &Bounds,
        (revision, events): (i64, &[Event]),
        mut model: Option<&mut Model>,
    ) -> Unclaimed {
        let mut unclaimed = Unclaimed { revision, ..Unclaimed::default() };
        for index in self.holders(history, events) {
            let call = &history.calls[index];
            let told_before = bounds.told_before(call.asked).map_or(0, |(told, _)| told);
            let explains = |model: &mut Model| model.peek(&call.operation).is_ok_and(|(_, told)| bare(&told) == events);
            match &call.outcome {
                Outcome::Refused(_) => unclaimed.refused.push(index),
                Outcome::Answered(_) => unclaimed.elsewhere.push(index),
                Outcome::Unknown(_) if !model.as_deref_mut().is_none_or(explains) => {
                    unclaimed.otherwise.extend(holds_a_value(&call.operation, events).then_some(index));
                }
                Outcome::Unknown(_) if told_before >= revision => unclaimed.too_late.push(index),
                Outcome::Unknown(_) => unclaimed.candidates.push(index),
            }
        }
        unclaimed.registered = events.iter().all(|event| self.registered.contains(&key_of(event)));
        match model {
            Some(model) => unclaimed.lease = ended_lease(model, events),
            // Whose end it is cannot be told.
            None if events.iter().all(is_delete) => unclaimed.registered = true,
            None => {}
        }
        if let Some(revokes) = unclaimed.lease.and_then(|lease| self.revokes.get(&lease)) {
            let told_before =
                |index: &usize| bounds.told_before(history.calls[*index].asked).map_or(0, |(told, _)| told);
            unclaimed.candidates.extend(revokes.iter().filter(|index| told_before(index) < revision));
        }
        unclaimed
    }

    /// The calls that hold a value of the events, and those of unknown outcome without a value that touch them.
    fn holders(&self, history: &History, events: &[Event]) -> Vec<usize> {
        let mut holders = Vec::new();
        for event in events.iter().filter(|event| !is_delete(event)) {
            let kv = event.kv.clone().unwrap_or_default();
            holders.extend(self.values.get(&(kv.key, kv.value)).into_iter().flatten());
        }
        let Some(first) = events.first().map(key_of) else { return holders };
        let puts = !events.iter().all(is_delete);
        let touches = |index: &&usize| {
            if puts && matches!(history.calls[**index].operation, Operation::DeleteRange(_)) {
                return false;
            }
            effects::parts(&history.calls[**index].operation).iter().any(|part| match part {
                effects::Part::Put(put) => put.key == first,
                effects::Part::Delete(delete) => is_in(&first, &delete.key, &delete.range_end),
                effects::Part::Range(_) => false,
            })
        };
        holders.extend(self.valueless.iter().filter(touches));
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}

/// Whether one of the events puts a value that the operation has.
fn holds_a_value(operation: &Operation, events: &[Event]) -> bool {
    effects::values(operation).any(|(key, value)| {
        let kvs = events.iter().filter(|event| !is_delete(event)).filter_map(|event| event.kv.as_ref());
        kvs.into_iter().any(|kv| kv.key == key && kv.value == value)
    })
}

/// The lease of which these events are the end: deletes of all keys attached to it.
pub(crate) fn ended_lease(model: &Model, events: &[Event]) -> Option<i64> {
    let first = events.first().filter(|event| is_delete(event))?;
    let lease = model.newest(&key_of(first))?.lease;
    (lease != 0 && takes_all_keys(model, lease, events)).then_some(lease)
}

/// Whether events are the deletes of all keys attached to a lease.
pub(crate) fn takes_all_keys(model: &Model, lease: i64, events: &[Event]) -> bool {
    let mut gone: Vec<_> = events.iter().map(key_of).collect();
    gone.sort_unstable();
    events.iter().all(is_delete) && gone == model.keys_of(lease)
}

fn is_delete(event: &Event) -> bool {
    event.r#type != 0
}
