//! What calls tell of one lease.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lists;
use crate::effects::{self, Part};
use crate::history::{Call, History, Outcome};
use crate::model::{Answer, LEASE_NOT_FOUND, Operation};

/// A call that tells something of a lease, with its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) call: usize,
    pub(crate) asked: Duration,
    /// Never, if it was not answered.
    pub(crate) done: Duration,
    /// The TTL that was told, where one was.
    pub(crate) ttl: Option<i64>,
}

/// All that calls tell of a lease. Each list is in the order of `asked`.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Grants that were or may have been done; a TTL is told where they were answered.
    pub(crate) grants: Vec<Sight>,
    /// Keep-alives that renewed it.
    pub(crate) renewals: Vec<Sight>,
    /// Keep-alives that may have renewed it.
    pub(crate) unsure: Vec<Sight>,
    /// Revokes that were or may have been done.
    pub(crate) revokes: Vec<Sight>,
    /// Of these, those that were acknowledged.
    pub(crate) revoked: Vec<Sight>,
    /// Other answers that show that it is there.
    pub(crate) shown: Vec<Sight>,
    /// The last list of all leases that shows it.
    pub(crate) listed: Option<Sight>,
    /// Answers that show that it is not there.
    pub(crate) absent: Vec<Sight>,
    /// The granted TTL as TimeToLive tells it.
    pub(crate) granted: Vec<(usize, i64)>,
    /// It may have been granted more than once.
    pub(crate) is_reborn: bool,
}

impl Life {
    /// The lives of all leases that calls name.
    pub(crate) fn all(history: &History) -> BTreeMap<i64, Self> {
        lives(history)
    }

    /// The TTL that was granted, as an answer tells it; of the longest grant.
    pub(crate) fn ttl(&self) -> Option<i64> {
        self.grants
            .iter()
            .map(|grant| grant.ttl)
            .try_fold(0, |longest, ttl| Some(longest.max(ttl?)))
            .filter(|ttl| *ttl > 0)
    }

    /// Since when it is surely there, by its only grant.
    pub(crate) fn granted_by(&self) -> Option<Duration> {
        self.grants.first().filter(|grant| grant.ttl.is_some()).map(|grant| grant.done)
    }

    /// Whether a revoke may have ended it by some time.
    pub(crate) fn may_be_revoked(&self, by: Duration) -> bool {
        self.revokes.iter().any(|revoke| revoke.asked <= by)
    }
}

/// Whether a grant of unknown outcome left the id to the server.
pub(crate) fn may_have_any_id(history: &History) -> bool {
    history.calls.iter().any(|call| match (&call.operation, &call.outcome) {
        (Operation::LeaseGrant(request), Outcome::Unknown(_)) => request.id == 0,
        _ => false,
    })
}

fn lives(history: &History) -> BTreeMap<i64, Life> {
    let mut lives: BTreeMap<i64, Life> = BTreeMap::new();
    let mut lists = Vec::new();
    for (index, call) in history.calls.iter().enumerate() {
        enter(&mut lives, index, call);
        if let Outcome::Answered(Answer::LeaseLeases(answer)) = &call.outcome {
            lists.push((sight(index, call, None), answer));
        }
    }
    lists::enter(&mut lives, lists);
    for life in lives.values_mut() {
        life.is_reborn = life.grants.len() > 1;
        for sights in [&mut life.grants, &mut life.renewals, &mut life.shown, &mut life.absent, &mut life.revoked] {
            sights.sort_by_key(|sight| sight.asked);
        }
    }
    lives
}

fn sight(index: usize, call: &Call, ttl: Option<i64>) -> Sight {
    Sight { call: index, asked: call.asked, done: call.done(), ttl }
}

fn enter(lives: &mut BTreeMap<i64, Life>, index: usize, call: &Call) {
    let sight = |ttl| sight(index, call, ttl);
    match (&call.operation, &call.outcome) {
        (Operation::LeaseGrant(_), Outcome::Answered(Answer::LeaseGrant(answer))) => {
            lives.entry(answer.id).or_default().grants.push(sight(Some(answer.ttl)));
        }
        (Operation::LeaseGrant(request), Outcome::Unknown(_)) if request.id != 0 => {
            lives.entry(request.id).or_default().grants.push(sight(None));
        }
        (Operation::LeaseKeepAlive(request), outcome) => {
            enter_keep_alive(lives.entry(request.id).or_default(), outcome, sight);
        }
        (Operation::LeaseRevoke(request), outcome) => {
            enter_revoke(lives.entry(request.id).or_default(), outcome, sight(None));
        }
        (Operation::LeaseTimeToLive(request), Outcome::Answered(Answer::LeaseTimeToLive(answer))) => {
            let life = lives.entry(request.id).or_default();
            if answer.granted_ttl > 0 {
                life.shown.push(sight(Some(answer.ttl)));
                life.granted.push((index, answer.granted_ttl));
            } else if answer.ttl == -1 {
                life.absent.push(sight(None));
            }
        }
        (Operation::Put(request), Outcome::Refused(refusal)) if *refusal == LEASE_NOT_FOUND => {
            lives.entry(request.lease).or_default().absent.push(sight(None));
        }
        (operation, Outcome::Answered(answer)) => enter_puts(lives, operation, answer, &sight),
        _ => {}
    }
}

/// A write that was answered and puts keys under a lease; of a transaction it is not known which branch did.
fn enter_puts(
    lives: &mut BTreeMap<i64, Life>,
    operation: &Operation,
    answer: &Answer,
    sight: &impl Fn(Option<i64>) -> Sight,
) {
    let Answer::Put(_) = answer else { return };
    for part in effects::parts(operation) {
        if let Part::Put(put) = part
            && put.lease != 0
        {
            lives.entry(put.lease).or_default().shown.push(sight(None));
        }
    }
}

fn enter_keep_alive(life: &mut Life, outcome: &Outcome, sight: impl Fn(Option<i64>) -> Sight) {
    match outcome {
        Outcome::Answered(Answer::LeaseKeepAlive(answer)) if answer.ttl > 0 => {
            life.renewals.push(sight(Some(answer.ttl)));
        }
        Outcome::Answered(_) => life.absent.push(sight(None)),
        Outcome::Unknown(_) => life.unsure.push(sight(None)),
        Outcome::Refused(_) => {}
    }
}

fn enter_revoke(life: &mut Life, outcome: &Outcome, sight: Sight) {
    match outcome {
        Outcome::Answered(_) => {
            life.revokes.push(sight);
            life.revoked.push(sight);
        }
        Outcome::Unknown(_) => life.revokes.push(sight),
        Outcome::Refused(refusal) if *refusal == LEASE_NOT_FOUND => life.absent.push(sight),
        Outcome::Refused(_) => {}
    }
}
