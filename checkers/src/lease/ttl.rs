//! No more than was granted: neither a keep-alive nor TimeToLive shows a longer TTL.

use super::{Judge, Life};
use crate::report::{Promise, Violation};

pub(super) fn check(judge: Judge<'_>, id: i64, life: &Life) -> Vec<Violation> {
    let Some(granted) = life.ttl() else { return Vec::new() };
    let shown = life.renewals.iter().chain(&life.shown).filter(|sight| sight.ttl > Some(granted));
    let text = |what| format!("{granted} s were granted to lease {id}, and {what:?} are shown");
    let mut violations: Vec<_> =
        shown.map(|sight| Violation::new(Promise::LeaseTtl, text(sight.ttl)).calls([sight.call])).collect();
    if life.is_reborn {
        return violations;
    }
    let granted_otherwise = life.granted.iter().filter(|(_, ttl)| *ttl != granted);
    violations.extend(
        granted_otherwise.map(|(call, ttl)| Violation::new(Promise::LeaseTtl, text(Some(*ttl))).calls([*call])),
    );
    let members = judge.history.members.iter().flat_map(|member| &member.leases);
    let kept_otherwise = members.filter(|(there, ttl)| *there == id && *ttl != granted);
    violations.extend(kept_otherwise.map(|(_, ttl)| Violation::new(Promise::LeaseTtl, text(Some(*ttl)))));
    violations
}
