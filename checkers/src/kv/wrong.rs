//! How an answer, a write or a revision differs from what must be, in words.

use registry_proto::mvccpb::Event;

use super::claims::Unclaimed;
use super::comparable;
use crate::history::{Call, History};
use crate::model::{Answer, Refusal};
use crate::report::{Promise, Violation};

/// How an answer differs from the model's.
pub(super) fn compare(call: &Call, expected: Result<Answer, Refusal>) -> Option<Violation> {
    let got = comparable(call.answer()?);
    let text = match expected {
        Ok(expected) if expected == got => return None,
        Ok(expected) => format!("{:?} was answered {got:?}, not {expected:?}", call.operation),
        Err(refusal) => format!("{:?} was answered {got:?}, not refused with {refusal:?}", call.operation),
    };
    Some(Violation::new(Promise::RightAnswer, text))
}

/// How the events that were told differ from those of the acknowledged write.
pub(super) fn differs(revision: i64, call: &Call, expected: &[Event], told: &[Event]) -> Violation {
    let kept = expected.iter().filter(|event| told.contains(event)).count();
    let promise = match kept {
        0 => Promise::NoLostWrite,
        kept if kept == expected.len() => Promise::NothingInvented,
        _ => Promise::AllOrNothing,
    };
    let kind = call.operation.kind();
    Violation::new(promise, format!("{kind} at revision {revision} makes {expected:?}, and watches tell {told:?}"))
}

/// Why a revision that no answer claims cannot be.
pub(super) fn unexplained(unclaimed: &Unclaimed, history: &History) -> Violation {
    let Unclaimed { revision, candidates, too_late, refused, elsewhere, otherwise, .. } = unclaimed;
    let ways = [
        (candidates, Promise::OnceAtMost, "can only have been written by calls that wrote other revisions"),
        (elsewhere, Promise::OnceAtMost, "holds what was acknowledged with another revision"),
        (refused, Promise::RefusedMeansUnchanged, "holds what was refused"),
        (too_late, Promise::RealTime, "was told before the only calls that explain it were asked"),
        (otherwise, Promise::AllOrNothing, "is not what the call that has its value would have done"),
    ];
    let way = ways.into_iter().find(|(calls, ..)| !calls.is_empty());
    let Some((calls, promise, what)) = way else {
        return Violation::new(Promise::NothingInvented, format!("revision {revision} was written by nobody"));
    };
    let kinds: Vec<_> = calls.iter().map(|index| history.calls[*index].operation.kind()).collect();
    Violation::new(promise, format!("revision {revision} {what}: {kinds:?}")).calls(calls.iter().copied())
}
