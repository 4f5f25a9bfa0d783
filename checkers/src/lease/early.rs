//! Never early: what was granted or renewed is there for its whole TTL, unless somebody may have revoked it.

use std::time::Duration;

use super::life::Sight;
use super::{Judge, Life};
use crate::report::{Promise, Violation};

/// How a lease is known to be gone.
struct Gone {
    at: Duration,
    how: String,
    call: Option<usize>,
}

pub(super) fn check(judge: Judge<'_>, id: i64, life: &Life) -> Option<Violation> {
    let (until, proof) = alive_until(life)?;
    let granted = life.granted_by()?;
    let early = |gone: &Gone| gone.at + judge.limits.early < until && !life.may_be_revoked(gone.at);
    let gone = gone(judge, id, life, granted).into_iter().find(early)?;
    let text = format!("lease {id} was to live until {until:?} at least, and is gone at {:?}: {}", gone.at, gone.how);
    Some(Violation::new(Promise::LeaseNeverEarly, text).calls([proof.call]).calls(gone.call))
}

/// Until when it lives at least, and what call proves that. Each success shows that it lived then: whoever saw
/// it gone before saw a lease end too early as well.
fn alive_until(life: &Life) -> Option<(Duration, Sight)> {
    let proofs = life.grants.iter().chain(&life.renewals);
    let until = proofs.filter_map(|proof| Some((proof.asked + seconds(proof.ttl?), *proof)));
    until.max_by_key(|(until, _)| *until)
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

/// All that shows that it is gone, where it was asked for after it had been granted.
fn gone(judge: Judge<'_>, id: i64, life: &Life, granted: Duration) -> Vec<Gone> {
    let absent = life.absent.iter().filter(|absent| absent.asked > granted);
    let mut gone: Vec<_> = absent
        .map(|absent| Gone { at: absent.done, how: "so it was answered".to_owned(), call: Some(absent.call) })
        .collect();
    gone.extend(judge.expired(id).map(|at| Gone { at, how: "its keys are deleted".to_owned(), call: None }));
    let ended = judge.history.ended;
    let lacking = judge.history.members.iter().filter(|member| member.leases.iter().all(|(there, _)| *there != id));
    let lacking = lacking.filter(|member| member.read > granted);
    gone.extend(lacking.map(|member| Gone {
        at: ended,
        how: format!("member {} lacks it", member.member),
        call: None,
    }));
    gone
}
