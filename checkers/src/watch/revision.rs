//! The events of one revision, as a watch told them and as they must be.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::mvccpb::Event;

use super::{Wrong, is_filtered, is_in_range, is_meant};
use crate::chronicle::{bare, happened, is_same, key_of};
use crate::kv::Known;
use crate::report::Promise;

/// How the events of a revision differ from those that must have come. What was before may be left out where
/// history `may_hide` it; `is_split` says that the revision's events did not come together.
pub(super) fn compare(
    request: &WatchCreateRequest,
    known: &Known,
    got: &[Event],
    may_hide: bool,
    is_split: impl Fn() -> bool,
) -> Option<Wrong> {
    let meant: Vec<_> = known.events.iter().filter(|event| is_meant(event, request)).collect();
    if meant.len() == got.len() && meant.iter().zip(got).all(|(meant, got)| is_same(meant, got)) {
        return before(request, known, &meant, got, may_hide);
    }
    let expected: Vec<_> = meant.into_iter().flat_map(|event| bare(std::slice::from_ref(event))).collect();
    let told = bare(got);
    let revision = got.first().map_or(0, happened);
    let (promise, how) = difference(request, &expected, &told, is_split);
    Some((promise, format!("revision {revision} {how}: {told:?}, not {expected:?}")))
}

fn difference(
    request: &WatchCreateRequest,
    expected: &[Event],
    told: &[Event],
    is_split: impl Fn() -> bool,
) -> (Promise, &'static str) {
    let is_told_twice = (1..told.len()).any(|at| told[..at].iter().any(|event| key_of(event) == key_of(&told[at])));
    if told.iter().any(|event| !is_in_range(event, request) || is_filtered(event, request)) {
        (Promise::WatchFilter, "holds what was not asked for")
    } else if is_told_twice {
        (Promise::WatchUnique, "holds an event twice")
    } else if !told.iter().all(|event| expected.contains(event)) {
        (Promise::WatchTrue, "holds what did not happen")
    } else if told.len() == expected.len() {
        (Promise::WatchOrdered, "is not in order")
    } else if is_split() {
        (Promise::WatchAtomic, "is split without a flag")
    } else {
        (Promise::WatchReliable, "is not whole")
    }
}

/// What was before each event: the state one revision earlier, which only a compaction may hide, and nothing
/// for who did not ask.
fn before(
    request: &WatchCreateRequest,
    known: &Known,
    meant: &[&Event],
    got: &[Event],
    may_hide: bool,
) -> Option<Wrong> {
    let is_right = |(expected, got): (&Event, &Event)| match (&got.prev_kv, request.prev_kv) {
        (Some(_), false) => false,
        (None, false) => true,
        _ if !known.knows_before => true,
        (None, true) => expected.prev_kv.is_none() || may_hide,
        (got, true) => *got == expected.prev_kv,
    };
    let mut pairs = meant.iter().copied().zip(got);
    let (expected, got) = pairs.find(|pair| !is_right(*pair))?;
    let (before, told) = (&expected.prev_kv, &got.prev_kv);
    Some((Promise::WatchPrevKv, format!("before {got:?} there was {before:?}, and {told:?} is told")))
}
