//! The end: after all was healed every member has the same state, byte for byte, and it is the one that the
//! history leads to.

use crate::history::{History, MemberState};
use crate::kv::Replayed;
use crate::report::{Promise, Violation};

pub(crate) fn check(history: &History, replayed: &Replayed) -> Vec<Violation> {
    let mut violations = Vec::new();
    let Some(first) = history.members.first() else { return violations };
    for other in &history.members[1..] {
        violations.extend(differs(first, other).map(|text| Violation::new(Promise::MembersAgree, text)));
    }
    let newest = history.members.iter().max_by_key(|member| member.revision).unwrap_or(first);
    for (what, text) in [not_replayed(newest, replayed), without_a_lease(newest)].into_iter().flatten() {
        violations.push(Violation::new(what, text));
    }
    violations
}

/// How one member differs from another.
fn differs(one: &MemberState, other: &MemberState) -> Option<String> {
    let names = (one.member, other.member);
    if one.revision != other.revision {
        return Some(format!("members {names:?} are at revisions {} and {}", one.revision, other.revision));
    }
    let keys = one.keys.iter().zip(&other.keys).find(|(one, other)| one != other);
    if let Some((one, other)) = keys {
        return Some(format!("members {names:?} have {one:?} and {other:?}"));
    }
    if one.keys.len() != other.keys.len() {
        return Some(format!("members {names:?} have {} and {} keys", one.keys.len(), other.keys.len()));
    }
    if one.leases != other.leases {
        return Some(format!("members {names:?} have leases {:?} and {:?}", one.leases, other.leases));
    }
    let at = one.state.iter().zip(&other.state).position(|(one, other)| one != other);
    let at = at.or((one.state.len() != other.state.len()).then(|| one.state.len().min(other.state.len())))?;
    Some(format!("the states of members {names:?} differ from byte {at} on"))
}

/// How a member's keys differ from what the whole history leads to, where it is known to that revision.
fn not_replayed(member: &MemberState, replayed: &Replayed) -> Option<(Promise, String)> {
    let model = replayed.model.as_ref()?;
    if member.revision != model.revision() {
        // Later revisions may be those of leases, which nobody saw end.
        let text = format!("the history leads to revision {}, the members have {}", model.revision(), member.revision);
        return (member.revision < model.revision()).then_some((Promise::MembersRight, text));
    }
    let expected: Vec<_> = model.all().cloned().collect();
    if expected == member.keys {
        return None;
    }
    let lost = expected.iter().find(|kv| !member.keys.contains(kv));
    let other = member.keys.iter().find(|kv| !expected.contains(kv));
    Some((Promise::MembersRight, format!("the history leads to {lost:?}, the members have {other:?}")))
}

/// A key that names a lease that is not there: its end left the key behind.
fn without_a_lease(member: &MemberState) -> Option<(Promise, String)> {
    let leases: std::collections::BTreeSet<_> = member.leases.iter().map(|(id, _)| *id).collect();
    let left = member.keys.iter().find(|kv| kv.lease != 0 && !leases.contains(&kv.lease))?;
    Some((Promise::LeaseTakesItsKeys, format!("{left:?} names a lease that is not there at the end")))
}
