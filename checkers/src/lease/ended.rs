//! Gone for good: after a revoke was acknowledged, or the end was seen, nothing shows the lease any more.
//!
//! etcd #20616: a keep-alive that succeeds on a revoked lease.

use std::time::Duration;

use super::life::Sight;
use super::{Judge, Life};
use crate::report::{Promise, Violation};

pub(super) fn check(judge: Judge<'_>, id: i64, life: &Life) -> Option<Violation> {
    let (ended, proof) = ended(judge, id, life)?;
    let alive = life.renewals.iter().chain(&life.shown).chain(&life.listed).find(|alive| alive.asked > ended);
    if let Some(alive) = alive {
        let text = format!("lease {id} had ended by {ended:?}, and was there for a call asked at {:?}", alive.asked);
        return Some(Violation::new(Promise::LeaseEndsForGood, text).calls(proof).calls([alive.call]));
    }
    let mut members = judge.history.members.iter().filter(|member| member.read > ended);
    let has = members.find(|member| member.leases.iter().any(|(there, _)| *there == id))?;
    let text = format!("lease {id} had ended by {ended:?}, and member {} has it at the end", has.member);
    Some(Violation::new(Promise::LeaseEndsForGood, text).calls(proof))
}

/// When it was first known to have ended, and what call proves that.
fn ended(judge: Judge<'_>, id: i64, life: &Life) -> Option<(Duration, Option<usize>)> {
    let first =
        |sights: &[Sight]| sights.iter().min_by_key(|sight| sight.done).map(|sight| (sight.done, Some(sight.call)));
    let granted = life.granted_by();
    let absent: Vec<_> =
        life.absent.iter().filter(|absent| granted.is_some_and(|granted| absent.asked > granted)).copied().collect();
    let ways = [first(&life.revoked), first(&absent), judge.expired(id).map(|at| (at, None))];
    ways.into_iter().flatten().min_by_key(|(at, _)| *at)
}
