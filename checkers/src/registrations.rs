//! Registrations that have ended leave nothing: neither a lease nor the key under one.

use std::time::Duration;

use crate::history::{History, HowEnded, MemberState, Registration};
use crate::report::{Limits, Promise, Violation};

pub(crate) fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut violations = Vec::new();
    for registration in &history.registrations {
        for (promise, deadline) in deadlines(registration, history.healed, limits) {
            let mut late = history.members.iter().filter(|member| member.read > deadline);
            let left = late.find_map(|member| left(registration, history, member));
            violations.extend(left.map(|what| {
                let (name, how) = (&registration.name, registration.ended);
                Violation::new(promise, format!("{name} ended ({how:?}), and by {deadline:?} there is still {what}"))
            }));
        }
    }
    violations
}

/// By when nothing may be left, for each promise. Shutdown was waited for; the others count from when the
/// cluster can be reached.
fn deadlines(registration: &Registration, healed: Option<Duration>, limits: &Limits) -> Vec<(Promise, Duration)> {
    let Some((ended, how)) = registration.ended else { return Vec::new() };
    if how == HowEnded::Shutdown {
        return vec![(Promise::RegistrationEnds, ended)];
    }
    let Some(healed) = healed else { return Vec::new() };
    let from = ended.max(healed);
    let hard = (Promise::RegistrationEnds, from + registration.ttl + limits.late);
    match how {
        HowEnded::Dropped => vec![hard, (Promise::RegistrationEndsSoon, from + limits.revoke)],
        _ => vec![hard],
    }
}

/// What a member still has of it. The key may be that of a later registration by now, under its own lease.
fn left(registration: &Registration, history: &History, member: &MemberState) -> Option<String> {
    let lease = member.leases.iter().find(|(id, _)| registration.leases.contains(id));
    if let Some((id, _)) = lease {
        return Some(format!("lease {id} on member {}", member.member));
    }
    let kv = member.keys.iter().find(|kv| kv.key == registration.key)?;
    let is_of_another = !registration.leases.contains(&kv.lease) && may_write(registration, history);
    (!is_of_another).then(|| format!("key {:?} on member {}", kv.key, member.member))
}

/// Whether somebody else may have written its key.
fn may_write(registration: &Registration, history: &History) -> bool {
    let of_key = history.registrations.iter().filter(|other| other.key == registration.key).count();
    let calls = history.calls.iter().filter(|call| call.is_possible());
    let mut values = calls.flat_map(|call| crate::effects::values(&call.operation));
    of_key > 1 || values.any(|(key, _)| key == registration.key)
}
