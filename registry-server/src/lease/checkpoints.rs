//! When what remains of a lease is due to be recorded in the log: pure, with every instant passed in.
//!
//! A lease is due once it was neither renewed nor recorded for its [`checkpoint_interval`]. Renewing does not
//! move its place in the order: whoever looks at it too soon finds out and puts it where it belongs, so that
//! a keep-alive costs nothing here.
//!
//! While a checkpoint is under way the lease is not renewed: the log must never end with a checkpoint that is
//! older than a renewal that was answered.

use std::ops::{Add, Sub};
use std::time::Duration;

use super::deadlines::Deadlines;
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, LeaseId};

/// The longest time between two checkpoints of a lease (etcd's).
const LONGEST_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The shortest, as checkpoints are in whole seconds.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Leases looked at under one lock.
const LOOKS: usize = 4_000;

/// After half its TTL without a keep-alive: clients renew after a third of it, so a lease in good health is
/// never recorded and its renewals never need the log. Leases of more than ten minutes are, at most every
/// five minutes.
pub(super) fn checkpoint_interval(ttl: Duration) -> Duration {
    (ttl / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// What remains of a lease, to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The lease.
    pub grant: Grant,
    /// Rounded up, so that nobody who goes by it is early; at least 1.
    pub remaining_seconds: i64,
}

impl<I: Copy + Ord + Add<Duration, Output = I> + Sub<I, Output = Duration>> Deadlines<I> {
    /// Takes up to `max` leases whose checkpoint is due; they count as being recorded until
    /// [`Self::checkpoint_ended`]. True beside them if more may be due: a call looks at some thousands only.
    pub(super) fn take_checkpoints(&mut self, now: I, max: usize) -> (Vec<Checkpoint>, bool) {
        let mut taken = Vec::new();
        for _ in 0..LOOKS {
            let Some((_, id)) = self.by_checkpoint.first().copied().filter(|(at, _)| *at <= now) else {
                return (taken, false);
            };
            if taken.len() == max {
                break;
            }
            self.by_checkpoint.pop_first();
            let lease = self.leases.get_mut(&id).expect("by_checkpoint names only leases that are there");
            let interval = checkpoint_interval(lease.ttl);
            if lease.untouched_since + interval <= now {
                lease.untouched_since = now;
                if lease.at > now && !lease.revoking && !lease.recording {
                    lease.recording = true;
                    let left = lease.at - now;
                    let left = if planted(Bug::CheckpointHalves) { left / 2 } else { left };
                    taken.push(Checkpoint { grant: lease.grant(id), remaining_seconds: whole_seconds(left) });
                }
            }
            lease.look_at = lease.untouched_since + interval;
            self.by_checkpoint.insert((lease.look_at, id));
        }
        (taken, true)
    }

    /// The log says what remains of a lease; none for its whole TTL.
    pub(super) fn recorded(&mut self, id: LeaseId, remaining: Option<Duration>) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.recorded = remaining;
        }
    }

    /// The outcome of a checkpoint is known and, if it was recorded, was told; or it is not, and then it counts as
    /// recorded. The lease can be renewed again.
    pub(super) fn checkpoint_ended(&mut self, checkpoint: &Checkpoint, is_known: bool) {
        if let Some(lease) = self.get_mut(checkpoint.grant) {
            lease.recording = false;
            if !is_known {
                lease.recorded = Some(Duration::from_secs(checkpoint.remaining_seconds.max(0).unsigned_abs()));
            }
        }
    }

    /// The lease, if the log says that less than its whole TTL remains of it.
    pub(super) fn recorded_grant(&self, id: LeaseId) -> Option<Grant> {
        self.leases.get(&id).filter(|lease| lease.recorded.is_some()).map(|lease| lease.grant(id))
    }
}

fn whole_seconds(time: Duration) -> i64 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::deadlines::Found;
    use super::*;
    use crate::types::GrantNumber;

    const SECOND: Duration = Duration::from_secs(1);
    const LEASE: LeaseId = LeaseId(1);

    /// The first life of a lease.
    fn first(id: LeaseId) -> Grant {
        Grant { id, number: GrantNumber(1) }
    }

    /// A checkpoint that the log has, with what it says.
    fn ended(deadlines: &mut Deadlines<Duration>, seconds: i64) {
        deadlines.checkpoint_ended(&Checkpoint { grant: first(LEASE), remaining_seconds: seconds }, true);
    }

    /// Time as a plain duration since an origin.
    fn with_one_lease(ttl: Duration) -> Deadlines<Duration> {
        let mut deadlines = Deadlines::new();
        deadlines.set(first(LEASE), ttl, Duration::ZERO);
        deadlines
    }

    fn take(deadlines: &mut Deadlines<Duration>, now: Duration) -> Vec<i64> {
        let (taken, more) = deadlines.take_checkpoints(now, 9);
        assert!(!more);
        taken.iter().map(|checkpoint| checkpoint.remaining_seconds).collect()
    }

    #[test]
    fn the_interval_is_half_the_ttl_within_bounds() {
        let interval = |seconds| checkpoint_interval(Duration::from_secs(seconds)).as_millis();
        assert_eq!([1, 2, 15, 599, 3_600].map(interval), [1_000, 1_000, 7_500, 299_500, 300_000]);
    }

    #[test]
    fn what_remains_is_recorded_once_an_interval_and_rounded_up() {
        let mut deadlines = with_one_lease(3_600 * SECOND);
        assert!(take(&mut deadlines, 300 * SECOND - Duration::from_nanos(1)).is_empty());
        assert_eq!(take(&mut deadlines, 300 * SECOND + Duration::from_nanos(1)), [3_300]);
        assert!(take(&mut deadlines, 599 * SECOND).is_empty());
        ended(&mut deadlines, 3_300);
        assert_eq!(take(&mut deadlines, 601 * SECOND), [2_999]);
    }

    #[test]
    fn a_lease_that_is_kept_alive_in_time_is_never_recorded() {
        let mut deadlines = with_one_lease(9 * SECOND);
        for third in 1..100 {
            let now = third * 3 * SECOND;
            assert_eq!(deadlines.renew(LEASE, now), Found::Renewed(9 * SECOND));
            assert!(take(&mut deadlines, now).is_empty());
            assert!(take(&mut deadlines, now + 2 * SECOND).is_empty());
        }
        assert_eq!(take(&mut deadlines, 302 * SECOND), [4], "and it is once nobody keeps it alive");
    }

    #[test]
    fn a_lease_is_not_renewed_while_it_is_recorded_nor_before_that_is_taken_back() {
        let mut deadlines = with_one_lease(8 * SECOND);
        assert_eq!(take(&mut deadlines, 4 * SECOND), [4]);
        // A reset that was proposed before ends first: the checkpoint is still to come.
        deadlines.recorded(LEASE, None);
        assert_eq!(deadlines.renew(LEASE, 5 * SECOND), Found::Recording);
        deadlines.recorded(LEASE, Some(4 * SECOND));
        ended(&mut deadlines, 4);
        assert_eq!(deadlines.renew(LEASE, 5 * SECOND), Found::Recorded(first(LEASE)));
        assert_eq!(deadlines.at(LEASE), Some(8 * SECOND));
        deadlines.recorded(LEASE, None);
        assert_eq!(deadlines.renew(LEASE, 5 * SECOND), Found::Renewed(8 * SECOND));
        assert_eq!(deadlines.at(LEASE), Some(13 * SECOND));
    }

    #[test]
    fn a_lease_whose_time_has_come_is_not_recorded_any_more() {
        let mut deadlines = with_one_lease(8 * SECOND);
        deadlines.take_due(8 * SECOND, 9);
        assert!(take(&mut deadlines, 8 * SECOND).is_empty());
        assert_eq!(deadlines.renew(LEASE, 8 * SECOND), Found::Revoking);
        deadlines.remove(LEASE);
        assert!(take(&mut deadlines, 100 * SECOND).is_empty());
    }

    #[test]
    fn after_a_restart_a_lease_has_what_was_recorded_and_the_others_everything() {
        let mut deadlines = with_one_lease(8 * SECOND);
        deadlines.set(first(LeaseId(2)), 8 * SECOND, Duration::ZERO);
        deadlines.recorded(LEASE, Some(3 * SECOND));
        deadlines.restart(100 * SECOND);
        assert_eq!((deadlines.at(LEASE), deadlines.at(LeaseId(2))), (Some(103 * SECOND), Some(108 * SECOND)));
        assert!(take(&mut deadlines, 103 * SECOND).is_empty(), "the interval begins anew, too");
        assert_eq!(deadlines.renew(LEASE, 101 * SECOND), Found::Recorded(first(LEASE)));
    }

    #[test]
    fn a_checkpoint_of_unknown_outcome_counts_as_recorded_for_its_life_of_the_lease_only() {
        let mut deadlines = with_one_lease(8 * SECOND);
        let (taken, _) = deadlines.take_checkpoints(4 * SECOND, 9);
        deadlines.checkpoint_ended(&taken[0], false);
        assert_eq!(deadlines.recorded_grant(LEASE), Some(first(LEASE)));
        assert_eq!(deadlines.renew(LEASE, 5 * SECOND), Found::Recorded(first(LEASE)));

        let next = Grant { id: LEASE, number: GrantNumber(2) };
        deadlines.set(next, 8 * SECOND, 5 * SECOND);
        deadlines.checkpoint_ended(&taken[0], false);
        assert_eq!(deadlines.renew(LEASE, 6 * SECOND), Found::Renewed(8 * SECOND));
    }

    #[test]
    fn no_more_are_taken_than_asked_for_and_the_rest_stays_due() {
        let mut deadlines = Deadlines::new();
        (1..=5).for_each(|id| deadlines.set(first(LeaseId(id)), 8 * SECOND, Duration::ZERO));
        let (taken, more) = deadlines.take_checkpoints(4 * SECOND, 3);
        assert_eq!((taken.len(), more), (3, true));
        let (taken, more) = deadlines.take_checkpoints(4 * SECOND, 3);
        assert_eq!((taken.len(), more), (2, false));
    }
}
