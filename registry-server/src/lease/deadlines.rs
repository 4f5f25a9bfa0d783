//! When leases expire: pure, with every instant passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::checkpoints::checkpoint_interval;
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, GrantNumber, LeaseId};

/// A lease on the leader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline<I> {
    /// Which life of the lease this is.
    pub(super) number: GrantNumber,
    pub(super) at: I,
    pub(super) ttl: Duration,
    /// A revocation was proposed: nothing renews the lease any more.
    pub(super) revoking: bool,
    /// A checkpoint is under way: nothing renews the lease before its outcome is known.
    pub(super) recording: bool,
    /// What the log says remained at its last checkpoint; none for the whole TTL.
    pub(super) recorded: Option<Duration>,
    /// When it was last renewed or recorded.
    pub(super) untouched_since: I,
    /// Its place in `by_checkpoint`.
    pub(super) look_at: I,
}

/// The deadlines of all leases. `I` is an instant that only goes forward.
#[derive(Debug)]
pub(super) struct Deadlines<I> {
    pub(super) leases: BTreeMap<LeaseId, Deadline<I>>,
    /// Those that are not being revoked, soonest first.
    by_time: BTreeSet<(I, LeaseId)>,
    /// When to look whether a checkpoint is due, at the soonest; see `checkpoints`.
    pub(super) by_checkpoint: BTreeSet<(I, LeaseId)>,
}

/// What a keep-alive finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Renewed for its whole TTL.
    Renewed(Duration),
    /// About to be revoked: the outcome decides.
    Revoking,
    /// About to be recorded: after the outcome, look again.
    Recording,
    /// The log says that less remains than the whole TTL: that must be taken back first.
    Recorded(Grant),
    /// There is no such lease.
    Unknown,
}

impl<I> Deadline<I> {
    pub(super) fn grant(&self, id: LeaseId) -> Grant {
        Grant { id, number: self.number }
    }
}

impl<I: Copy + Ord + std::ops::Add<Duration, Output = I>> Deadlines<I> {
    pub(super) fn new() -> Self {
        Self { leases: BTreeMap::new(), by_time: BTreeSet::new(), by_checkpoint: BTreeSet::new() }
    }

    /// A lease begins, with its whole TTL.
    pub(super) fn set(&mut self, grant: Grant, ttl: Duration, now: I) {
        self.begin(grant, ttl, None, now);
    }

    /// Every lease goes on with what the log says remains of it.
    pub(super) fn restart(&mut self, now: I) {
        let leases: Vec<_> =
            self.leases.iter().map(|(id, lease)| (lease.grant(*id), lease.ttl, lease.recorded)).collect();
        for (grant, ttl, recorded) in leases {
            self.begin(grant, ttl, recorded, now);
        }
    }

    fn begin(&mut self, Grant { id, number }: Grant, ttl: Duration, recorded: Option<Duration>, now: I) {
        self.remove(id);
        let at = now + recorded.unwrap_or(ttl);
        let look_at = now + checkpoint_interval(ttl);
        let lease =
            Deadline { number, at, ttl, revoking: false, recording: false, recorded, untouched_since: now, look_at };
        self.leases.insert(id, lease);
        self.by_time.insert((at, id));
        self.by_checkpoint.insert((look_at, id));
    }

    pub(super) fn remove(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.remove(&id) {
            self.by_time.remove(&(lease.at, id));
            self.by_checkpoint.remove(&(lease.look_at, id));
        }
    }

    pub(super) fn renew(&mut self, id: LeaseId, now: I) -> Found {
        let Some(lease) = self.leases.get_mut(&id) else { return Found::Unknown };
        if lease.revoking && !planted(Bug::RevokingRenewed) {
            return Found::Revoking;
        }
        if lease.recording && !planted(Bug::RecordingRenewed) {
            return Found::Recording;
        }
        if lease.recorded.is_some() && !planted(Bug::RecordedRenewed) {
            return Found::Recorded(lease.grant(id));
        }
        self.by_time.remove(&(lease.at, id));
        lease.at = now + lease.ttl;
        lease.untouched_since = now;
        self.by_time.insert((lease.at, id));
        Found::Renewed(lease.ttl)
    }

    pub(super) fn at(&self, id: LeaseId) -> Option<I> {
        self.leases.get(&id).map(|deadline| deadline.at)
    }

    /// The soonest deadline that is not being dealt with yet.
    pub(super) fn next(&self) -> Option<I> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes up to `max` leases whose time has come; they count as being revoked from here on.
    pub(super) fn take_due(&mut self, now: I, max: usize) -> Vec<Grant> {
        let mut due = Vec::new();
        while due.len() < max
            && let Some((at, id)) = self.by_time.first().copied()
            && at <= now
        {
            self.by_time.pop_first();
            let lease = self.leases.get_mut(&id).expect("by_time names only leases that are there");
            lease.revoking = true;
            due.push(lease.grant(id));
        }
        due
    }

    /// A proposed revocation did not go through: the lease is due again at `at`.
    pub(super) fn put_back(&mut self, grant: Grant, at: I) {
        if let Some(deadline) = self.get_mut(grant).filter(|deadline| deadline.revoking) {
            deadline.revoking = false;
            deadline.at = at;
            self.by_time.insert((at, grant.id));
        }
    }

    /// This life of a lease, if it has not ended.
    pub(super) fn get_mut(&mut self, grant: Grant) -> Option<&mut Deadline<I>> {
        self.leases.get_mut(&grant.id).filter(|lease| lease.number == grant.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The first life of a lease.
    fn first(id: i64) -> Grant {
        Grant { id: LeaseId(id), number: GrantNumber(1) }
    }

    /// Time as a plain duration since an origin.
    fn with_one_lease() -> Deadlines<Duration> {
        let mut deadlines = Deadlines::new();
        deadlines.set(first(1), 10 * SECOND, Duration::ZERO);
        deadlines
    }

    #[test]
    fn a_lease_is_due_at_its_deadline_and_not_before() {
        let mut deadlines = with_one_lease();
        assert!(deadlines.take_due(10 * SECOND - Duration::from_nanos(1), 9).is_empty());
        assert_eq!(deadlines.take_due(10 * SECOND, 9), [first(1)]);
        assert!(deadlines.take_due(20 * SECOND, 9).is_empty(), "it is taken once");
    }

    #[test]
    fn a_keep_alive_renews_for_the_whole_ttl() {
        let mut deadlines = with_one_lease();
        assert_eq!(deadlines.renew(LeaseId(1), 9 * SECOND), Found::Renewed(10 * SECOND));
        assert_eq!(deadlines.next(), Some(19 * SECOND));
        assert_eq!(deadlines.renew(LeaseId(2), SECOND), Found::Unknown);
    }

    #[test]
    fn a_lease_that_is_being_revoked_is_not_renewed() {
        let mut deadlines = with_one_lease();
        deadlines.take_due(10 * SECOND, 9);
        assert_eq!(deadlines.renew(LeaseId(1), 10 * SECOND), Found::Revoking);
        deadlines.put_back(first(1), 11 * SECOND);
        assert_eq!(deadlines.next(), Some(11 * SECOND));
        deadlines.remove(LeaseId(1));
        assert_eq!((deadlines.next(), deadlines.at(LeaseId(1))), (None, None));
    }

    #[test]
    fn what_was_decided_about_one_life_of_a_lease_leaves_the_next_alone() {
        let mut deadlines = with_one_lease();
        let old = deadlines.take_due(10 * SECOND, 9)[0];
        let new = Grant { number: GrantNumber(2), ..old };
        deadlines.set(new, 10 * SECOND, 10 * SECOND);
        deadlines.put_back(old, 11 * SECOND);
        assert_eq!(deadlines.at(old.id), Some(20 * SECOND));
        assert_eq!(deadlines.take_due(20 * SECOND, 9), [new]);
        deadlines.put_back(old, 21 * SECOND);
        assert_eq!(deadlines.renew(old.id, 21 * SECOND), Found::Revoking);
    }

    #[test]
    fn the_soonest_come_first_and_no_more_than_asked() {
        let mut deadlines = Deadlines::new();
        for (id, ttl) in [(1, 3), (2, 1), (3, 2)] {
            deadlines.set(first(id), ttl * SECOND, Duration::ZERO);
        }
        assert_eq!(deadlines.take_due(5 * SECOND, 2), [first(2), first(3)]);
        assert_eq!(deadlines.take_due(5 * SECOND, 2), [first(1)]);
    }
}
