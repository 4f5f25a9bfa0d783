//! What a view shows of a snapshot: the instances that are selected, and those that a policy holds.
//!
//! An empty set, and the loss of a large part, is more often somebody's mistake (a wrong deployment, a lost
//! namespace, a registry that was away for longer than a TTL) than the truth, and the instances that vanished may
//! still answer. [`Filter`] remembers them for as long as a policy may ask for them, and no more of them than there
//! ever were at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::policy::{EmptyPolicy, LossPolicy, Policies};
use super::snapshot::{Discovered, Freshness, Snapshot};

/// The last thing a view looked at, and what it keeps for bad times.
#[derive(Debug, Default)]
pub(super) struct Filter {
    whole: Option<Arc<Snapshot>>,
    /// What is selected of it.
    part: Option<Arc<Snapshot>>,
    /// In the order in which they vanished.
    missing: VecDeque<Missing>,
    /// The most instances that were ever selected at once.
    most: usize,
}

/// An instance that vanished.
#[derive(Debug, Clone)]
struct Missing {
    instance: Arc<Discovered>,
    /// When that was seen, on the boot-time clock.
    at: Duration,
    /// The same by the wall clock.
    since: SystemTime,
    /// How many were selected before.
    before: usize,
}

impl Filter {
    /// What is shown of `whole`, and until when, if that ends by itself. Times are on the boot-time clock.
    pub(super) fn show(
        &mut self,
        whole: &Arc<Snapshot>,
        policies: Policies,
        now: (Duration, SystemTime),
        select: impl FnOnce(&Snapshot) -> Snapshot,
    ) -> (Arc<Snapshot>, Option<Duration>) {
        let known = self.part.as_ref().filter(|_| self.whole.as_ref().is_some_and(|last| Arc::ptr_eq(last, whole)));
        let part = known.cloned().unwrap_or_else(|| self.look(whole, now, select));
        let memory = policies.memory();
        self.missing.retain(|missing| now.0 < missing.at.saturating_add(memory));
        match self.limit(part.instances.len(), policies, now.0) {
            None => (part, None),
            Some(limit) => self.hold(&part, limit, now.0),
        }
    }

    /// Takes a new snapshot in, with what vanished since the one before.
    fn look(
        &mut self,
        whole: &Arc<Snapshot>,
        (at, since): (Duration, SystemTime),
        select: impl FnOnce(&Snapshot) -> Snapshot,
    ) -> Arc<Snapshot> {
        let part = Arc::new(select(whole));
        // What came back, as whatever, has an incarnation that speaks for itself.
        self.missing.retain(|missing| whole.instance(missing.instance.id()).is_none());
        if let Some(last) = self.part.replace(Arc::clone(&part)) {
            let before = last.instances.len();
            let vanished = last.instances.iter().filter(|known| whole.instance(known.id()).is_none());
            self.missing.extend(vanished.map(|known| Missing { instance: Arc::clone(known), at, since, before }));
        }
        self.whole = Some(Arc::clone(whole));
        self.most = self.most.max(part.instances.len());
        let excess = self.missing.len().saturating_sub(self.most);
        self.missing.drain(..excess);
        part
    }

    /// For how long after they vanished instances are shown at present, if a policy wants it.
    fn limit(&self, left: usize, policies: Policies, now: Duration) -> Option<Duration> {
        let empty = match policies.empty {
            EmptyPolicy::Hold(limit) if left == 0 => Some(limit),
            _ => None,
        };
        let LossPolicy::Hold { above_percent, limit } = policies.loss else { return empty };
        let vanished = self.missing.iter().filter(|missing| now < missing.at.saturating_add(limit));
        let (count, before) = vanished.fold((0, 0), |(count, most), missing| (count + 1, most.max(missing.before)));
        let loss = LossPolicy::doubts(above_percent, count, before, left).then_some(limit);
        empty.max(loss)
    }

    /// The part with all that vanished no longer ago than `limit`.
    fn hold(&self, part: &Arc<Snapshot>, limit: Duration, now: Duration) -> (Arc<Snapshot>, Option<Duration>) {
        let ends = |missing: &Missing| missing.at.saturating_add(limit);
        let held: Vec<_> = self.missing.iter().filter(|missing| now < ends(missing)).collect();
        let (Some(until), Some(first)) = (held.iter().map(|missing| ends(missing)).min(), held.first()) else {
            return (Arc::clone(part), None);
        };
        let freshness = match part.freshness {
            stale @ Freshness::Stale { .. } => stale,
            _ => Freshness::Stale { since: first.since },
        };
        let mut instances = part.instances.clone();
        instances.extend(held.iter().map(|missing| Arc::clone(&missing.instance)));
        instances.sort_unstable_by(|left, right| left.id().cmp(right.id()));
        let shown = Snapshot { instances, freshness, held: held.len(), ..Snapshot::clone(part) };
        (Arc::new(shown), Some(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::table::Table;
    use crate::{Instance, Status};

    const EMPTY: Policies = Policies { empty: EmptyPolicy::Hold(Duration::from_secs(5)), loss: LossPolicy::Follow };
    const HALF: Policies = Policies {
        empty: EmptyPolicy::Follow,
        loss: LossPolicy::Hold { above_percent: 50, limit: Duration::from_secs(30) },
    };

    /// A view of those that are up, on a table that the test changes.
    struct Seen {
        table: Table,
        filter: Filter,
        policies: Policies,
        revision: i64,
        whole: Arc<Snapshot>,
    }

    impl Seen {
        fn of(policies: Policies, count: usize) -> Self {
            let table = Table::new("pay".into());
            let whole = Arc::new(table.snapshot(Freshness::Synced));
            let mut seen = Self { table, filter: Filter::default(), policies, revision: 0, whole };
            (0..count).for_each(|number| seen.put(&format!("{number:02}"), Status::Up));
            seen.at(0);
            seen
        }

        fn put(&mut self, id: &str, status: Status) {
            self.revision += 1;
            self.table.put_instance(Instance::builder("pay").id(id).status(status).build().unwrap(), self.revision);
        }

        fn delete(&mut self, numbers: std::ops::Range<usize>) {
            numbers.for_each(|number| assert!(self.table.delete(format!("{number:02}").as_bytes())));
        }

        /// How many are shown at that second, how many of them are held, and until when.
        fn at(&mut self, second: u64) -> (usize, usize, Option<u64>) {
            self.whole = Arc::new(self.table.snapshot(Freshness::Synced));
            self.again(second)
        }

        /// The same snapshot, looked at later.
        fn again(&mut self, second: u64) -> (usize, usize, Option<u64>) {
            let now = (Duration::from_secs(second), SystemTime::UNIX_EPOCH);
            let (shown, until) = self.filter.show(&self.whole, self.policies, now, |whole| {
                let up = whole.instances.iter().filter(|found| found.status() == Status::Up);
                Snapshot { instances: up.cloned().collect(), ..whole.clone() }
            });
            assert_eq!(shown.held() > 0, matches!(shown.freshness(), Freshness::Stale { .. }));
            assert!(shown.instances().is_sorted_by_key(|found| found.id().to_owned()));
            (shown.instances().len(), shown.held(), until.map(|until| until.as_secs()))
        }
    }

    #[test]
    fn g13_an_empty_set_is_held_for_its_time_and_then_shown() {
        let mut seen = Seen::of(EMPTY, 1);
        seen.delete(0..1);
        assert_eq!(seen.at(20), (1, 1, Some(25)));
        assert_eq!(seen.again(24), (1, 1, Some(25)));
        assert_eq!(seen.again(25), (0, 0, None));
        assert_eq!(seen.at(26), (0, 0, None));
    }

    #[test]
    fn g13_a_set_that_is_not_empty_is_followed_by_the_empty_policy() {
        let mut seen = Seen::of(EMPTY, 10);
        seen.delete(0..9);
        assert_eq!(seen.at(20), (1, 0, None));
    }

    #[test]
    fn g13_confirmed_deletes_count_at_once_below_the_share_and_are_held_above_it() {
        let mut seen = Seen::of(HALF, 10);
        seen.delete(0..5);
        assert_eq!(seen.at(10), (5, 0, None), "half is not more than half");
        seen.delete(5..6);
        assert_eq!(seen.at(12), (10, 6, Some(40)), "one by one within the limit is at once");
        assert_eq!(seen.again(39), (10, 6, Some(40)));
        assert_eq!(seen.again(40), (4, 0, None), "each for its time, and then the share is small");
    }

    #[test]
    fn g13_a_loss_that_stays_is_believed_when_its_time_is_over() {
        let mut seen = Seen::of(HALF, 10);
        seen.delete(0..9);
        assert_eq!(seen.at(10), (10, 9, Some(40)));
        seen.put("new", Status::Up);
        assert_eq!(seen.at(20), (11, 9, Some(40)));
        assert_eq!(seen.again(40), (2, 0, None));
    }

    #[test]
    fn g13_who_said_goodbye_is_not_held() {
        let mut seen = Seen::of(Policies { empty: EMPTY.empty, ..HALF }, 10);
        (0..10).for_each(|number| seen.put(&format!("{number:02}"), Status::Draining));
        assert_eq!(seen.at(10), (0, 0, None));
        seen.delete(0..10);
        assert_eq!(seen.at(11), (0, 0, None));
    }

    #[test]
    fn g13_who_came_back_is_shown_as_it_is_now() {
        let mut seen = Seen::of(HALF, 10);
        seen.delete(0..9);
        assert_eq!(seen.at(10).1, 9);
        (0..3).for_each(|number| seen.put(&format!("{number:02}"), Status::Up));
        assert_eq!(seen.at(12), (10, 6, Some(40)));
        seen.put("03", Status::Down);
        (4..6).for_each(|number| seen.put(&format!("{number:02}"), Status::Up));
        assert_eq!(seen.at(14), (6, 0, None), "six of ten are there again");
    }

    #[test]
    fn g13_instances_that_are_replaced_all_the_time_are_no_loss_and_cost_no_memory() {
        let mut seen = Seen::of(HALF, 4);
        for round in 4..50 {
            seen.delete(round - 4..round - 3);
            seen.put(&format!("{round:02}"), Status::Up);
            assert_eq!(seen.at(10), (4, 0, None));
            assert!(seen.filter.missing.len() <= 4);
        }
    }
}
