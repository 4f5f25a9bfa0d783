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
use crate::types::LeaseId;

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
    pub id: LeaseId,
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
                    taken.push(Checkpoint { id, remaining_seconds: whole_seconds(lease.at - now) });
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

    /// The outcome of a checkpoint is known, or never will be: the lease can be renewed again.
    pub(super) fn checkpoint_ended(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.recording = false;
        }
    }

    /// The log says that less than its whole TTL remains of this lease.
    pub(super) fn is_recorded(&self, id: LeaseId) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.recorded.is_some())
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

    const SECOND: Duration = Duration::from_secs(1);
    const LEASE: LeaseId = LeaseId(1);

    /// Time as a plain duration since an origin.
    fn with_one_lease(ttl: Duration) -> Deadlines<Duration> {
        let mut deadlines = Deadlines::new();
        deadlines.set(LEASE, ttl, Duration::ZERO);
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
        deadlines.checkpoint_ended(LEASE);
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
        deadlines.checkpoint_ended(LEASE);
        assert_eq!(deadlines.renew(LEASE, 5 * SECOND), Found::Recorded);
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
        deadlines.set(LeaseId(2), 8 * SECOND, Duration::ZERO);
        deadlines.recorded(LEASE, Some(3 * SECOND));
        deadlines.restart(100 * SECOND);
        assert_eq!((deadlines.at(LEASE), deadlines.at(LeaseId(2))), (Some(103 * SECOND), Some(108 * SECOND)));
        assert!(take(&mut deadlines, 103 * SECOND).is_empty(), "the interval begins anew, too");
        assert_eq!(deadlines.renew(LEASE, 101 * SECOND), Found::Recorded);
    }

    #[test]
    fn no_more_are_taken_than_asked_for_and_the_rest_stays_due() {
        let mut deadlines = Deadlines::new();
        (1..=5).for_each(|id| deadlines.set(LeaseId(id), 8 * SECOND, Duration::ZERO));
        let (taken, more) = deadlines.take_checkpoints(4 * SECOND, 3);
        assert_eq!((taken.len(), more), (3, true));
        let (taken, more) = deadlines.take_checkpoints(4 * SECOND, 3);
        assert_eq!((taken.len(), more), (2, false));
    }
}
