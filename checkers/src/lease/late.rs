//! Never late: once all is healed, a lease that nobody renews is gone by its TTL and what an election takes.

use std::time::Duration;

use super::{Judge, Life};
use crate::report::{Promise, Violation};

pub(super) fn check(judge: Judge<'_>, id: i64, life: &Life) -> Option<Violation> {
    let healed = judge.history.healed?;
    let last = last_renewal(life, healed)?;
    let due = |ttl: i64| last + Duration::from_secs(u64::try_from(ttl).unwrap_or(0)) + judge.limits.late;
    let wrong = |text| Violation::new(Promise::LeaseNeverLate, text).calls(life.grants.iter().map(|grant| grant.call));
    for member in &judge.history.members {
        let ttl = member.leases.iter().find(|(there, _)| *there == id).map(|(_, ttl)| *ttl);
        if let Some(due) = ttl.map(due).filter(|due| member.read > *due) {
            let (member, read) = (member.member, member.read);
            return Some(wrong(format!("lease {id} was due by {due:?}, and member {member} has it at {read:?}")));
        }
    }
    let due = due(life.ttl()?);
    let revision = judge.replayed.expiries.get(&id)?;
    let unseen = judge.bounds.unseen(*revision).filter(|unseen| *unseen > due)?;
    Some(wrong(format!("lease {id} was due by {due:?}, and its end had not happened at {unseen:?}")))
}

/// When it may have been renewed for the last time, counted from when all was healed. What is of unknown
/// outcome and was asked after that may happen whenever it likes; then nothing can be said.
fn last_renewal(life: &Life, healed: Duration) -> Option<Duration> {
    let mut last = healed;
    for sight in life.grants.iter().chain(&life.renewals).chain(&life.unsure) {
        let is_unknown = sight.ttl.is_none();
        if is_unknown && sight.asked >= healed {
            return None;
        }
        if !is_unknown {
            last = last.max(sight.done);
        }
    }
    (!life.grants.is_empty() && last < Duration::MAX).then_some(last)
}
