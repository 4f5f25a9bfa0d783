//! Real time: what is asked after an answer was given sees what that answer tells of.
//!
//! That makes the serializability by revisions strict. It also rules out reads from the future: a write that
//! is asked after a read was answered must have a later revision than the read's.

use crate::bounds::{Bounds, Source};
use crate::effects::{changed, is_linearizable};
use crate::history::{Call, History};
use crate::report::{Promise, Violation};

pub(crate) fn check(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, call) in history.calls.iter().enumerate() {
        let (Some(answer), Some(revision)) = (call.answer(), call.revision()) else { continue };
        let Some((told, source)) = bounds.told_before(call.asked) else { continue };
        let least = told + i64::from(changed(answer));
        if is_linearizable(&call.operation) && revision < least {
            let kind = call.operation.kind();
            let text = format!("{kind} was answered at revision {revision}, asked for after {told} was told");
            let wrong = Violation::new(Promise::RealTime, text).calls([index]);
            violations.push(match source {
                Source::Call(other) => wrong.calls([other]),
                Source::Watch(other) => wrong.watches([other]),
            });
        }
    }
    violations
}

/// Revisions that were told and that no member has at the end.
pub(crate) fn check_end(history: &History) -> Vec<Violation> {
    let Some(newest) = history.newest() else { return Vec::new() };
    let is_phantom = |call: &Call| call.revision() > Some(newest) && history.was_read_after(call.done());
    let phantom = history.calls.iter().enumerate().filter(|(_, call)| is_phantom(call));
    let text = |revision| format!("revision {revision:?} was told, and at the end the newest is {newest}");
    phantom.map(|(index, call)| Violation::new(Promise::NoLostWrite, text(call.revision())).calls([index])).collect()
}
