//! Leases that must go: each is revoked until it is certain that it does not and will not exist.
//!
//! A revoke can overtake a grant that is still on its way, so "not found" proves nothing as long as a
//! grant of that id has no answer. It is final once every grant was answered before the revoke was sent,
//! or once the TTL has passed since the last grant was given up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{LeaseId, Moment, RevokeOutcome};
use super::lease::Lease;
use super::retry::Backoff;
use crate::planted::{Bug, planted};

/// How often a lease was asked for, and how much of that is still open.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    pub(super) sent: u32,
    /// Grants without an answer, the one in flight included.
    pub(super) unanswered: u32,
    pub(super) last_sent_at: Moment,
    /// A grant is in flight.
    pub(super) in_flight: bool,
    /// When a grant was given up without an answer; it may be carried out for some time after.
    pub(super) given_up_at: Moment,
}

impl Attempts {
    /// The grant in flight has failed.
    pub(super) fn fail(&mut self, maybe_done: bool, now: Moment) {
        self.in_flight = false;
        if maybe_done {
            self.given_up_at = now;
        } else {
            self.answer();
        }
    }

    /// The grant in flight was answered.
    pub(super) fn answer(&mut self) {
        self.in_flight = false;
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Every grant was answered: none was carried out that nobody knows of.
    pub(super) fn answer_all(&mut self) {
        self.in_flight = false;
        self.unanswered = 0;
    }
}

#[derive(Debug)]
struct Doomed {
    attempts: Attempts,
    /// A grant was answered with the lease.
    granted: bool,
    ttl: Duration,
    /// A revoke is in flight, and this many grants were unanswered when it was sent.
    revoking: Option<u32>,
    retry: Backoff,
    /// A revoke succeeded, though a late grant could still bring the lease back.
    confirmed: bool,
}

/// The leases to be revoked.
#[derive(Debug, Default)]
pub(super) struct DoomedLeases(BTreeMap<LeaseId, Doomed>);

impl DoomedLeases {
    /// Dooms a lease, with the TTL it was granted, or else with the one that was asked for. One that cannot
    /// exist, as no grant was ever sent, needs no revoke, and a registry that is away needs no wait.
    pub(super) fn insert(&mut self, lease: Lease, ttl_asked: Duration, retry: Backoff) {
        let (granted, attempts) = (lease.held.is_some(), lease.attempts);
        if granted || attempts.unanswered > 0 {
            let ttl = lease.held.map_or(ttl_asked, |held| held.ttl);
            self.0.insert(lease.id, Doomed { attempts, granted, ttl, revoking: None, retry, confirmed: false });
        }
    }

    pub(super) fn contains(&self, id: LeaseId) -> bool {
        self.0.contains_key(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// None of them is known to exist.
    pub(super) fn all_confirmed(&self) -> bool {
        self.0.values().all(|doomed| doomed.confirmed)
    }

    /// A grant of a doomed lease was settled; the lease may have come into being just now.
    pub(super) fn grant_settled(&mut self, id: LeaseId, granted: bool, settle: impl FnOnce(&mut Attempts)) {
        let Some(doomed) = self.0.get_mut(&id) else { return };
        settle(&mut doomed.attempts);
        doomed.granted |= granted;
        doomed.retry.reset();
        if !doomed.granted && doomed.attempts.unanswered == 0 {
            self.0.remove(&id);
        }
    }

    pub(super) fn revoke_settled(&mut self, id: LeaseId, outcome: &RevokeOutcome, now: Moment) {
        let Some(doomed) = self.0.get_mut(&id) else { return };
        let unanswered_then = doomed.revoking.take().unwrap_or(u32::MAX);
        let attempts = &doomed.attempts;
        let passed = !attempts.in_flight && now >= attempts.last_sent_at.max(attempts.given_up_at) + doomed.ttl;
        let settled = unanswered_then == 0 || passed;
        let gone = match outcome {
            RevokeOutcome::Revoked => settled || doomed.attempts.sent <= 1,
            RevokeOutcome::NotFound => settled,
            RevokeOutcome::Failed => planted(Bug::RevokeTriedOnce),
        };
        if gone {
            self.0.remove(&id);
            return;
        }
        doomed.confirmed |= matches!(outcome, RevokeOutcome::Revoked);
        if unanswered_then == doomed.attempts.unanswered || matches!(outcome, RevokeOutcome::Failed) {
            doomed.retry.fail(now);
        }
    }

    /// The leases for which a revoke is to be sent now.
    pub(super) fn due(&mut self, now: Moment) -> impl Iterator<Item = LeaseId> {
        self.0.iter_mut().filter(move |(_, doomed)| doomed.revoking.is_none() && doomed.retry.is_due(now)).map(
            |(id, doomed)| {
                doomed.revoking = Some(doomed.attempts.unanswered);
                *id
            },
        )
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.0.values().filter(|doomed| doomed.revoking.is_none()).map(|doomed| doomed.retry.at()).min()
    }
}
