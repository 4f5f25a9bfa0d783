//! What a view shows when the last of its instances has gone.
//!
//! An empty set is more often somebody's mistake (a wrong deployment, a lost namespace) than the truth,
//! and the instances that went may still answer. [`Filter`] remembers the last set that was not empty.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::snapshot::{Freshness, Snapshot};

/// What a [`super::View`] shows when no instance is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EmptyPolicy {
    /// Nothing.
    #[default]
    Follow,
    /// The last instances there were, as stale, for so long.
    Hold(Duration),
}

/// The last thing a view looked at, and what it keeps for bad times.
#[derive(Debug, Default)]
pub(super) struct Filter {
    whole: Option<Arc<Snapshot>>,
    /// What was left of it.
    part: Option<Arc<Snapshot>>,
    /// The last part that was not empty.
    full: Option<Arc<Snapshot>>,
    emptied: Option<Emptied>,
}

#[derive(Debug, Clone, Copy)]
struct Emptied {
    /// On the boot-time clock.
    at: Duration,
    since: SystemTime,
}

impl Filter {
    /// What is shown of `whole`, and until when, if that ends by itself. Times are on the boot-time clock.
    pub(super) fn show(
        &mut self,
        whole: &Arc<Snapshot>,
        policy: EmptyPolicy,
        now: (Duration, SystemTime),
        select: impl FnOnce(&Snapshot) -> Snapshot,
    ) -> (Arc<Snapshot>, Option<Duration>) {
        let known = self.part.as_ref().filter(|_| self.whole.as_ref().is_some_and(|last| Arc::ptr_eq(last, whole)));
        let part = known.cloned().unwrap_or_else(|| Arc::new(select(whole)));
        self.whole = Some(Arc::clone(whole));
        self.part = Some(Arc::clone(&part));
        if !part.instances.is_empty() {
            self.full = Some(Arc::clone(&part));
            self.emptied = None;
            return (part, None);
        }
        let (EmptyPolicy::Hold(limit), Some(full)) = (policy, &self.full) else { return (part, None) };
        let emptied = *self.emptied.get_or_insert(Emptied { at: now.0, since: now.1 });
        let until = emptied.at.saturating_add(limit);
        if now.0 >= until {
            return (part, None);
        }
        let since = match full.freshness {
            Freshness::Stale { since } => since,
            _ => emptied.since,
        };
        let instances = full.instances.clone();
        let held = Snapshot { instances, freshness: Freshness::Stale { since }, ..Snapshot::clone(&part) };
        (Arc::new(held), Some(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;
    use crate::watch::table::Table;

    fn at(seconds: u64) -> (Duration, SystemTime) {
        (Duration::from_secs(seconds), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn g13_an_empty_set_is_held_for_its_time_and_then_shown() {
        let mut table = Table::new("pay".into());
        let hold = EmptyPolicy::Hold(Duration::from_secs(5));
        let mut filter = Filter::default();
        table.put_instance(Instance::builder("pay").id("1").build().unwrap(), 1);
        let full = Arc::new(table.snapshot(Freshness::Synced));
        assert_eq!(filter.show(&full, hold, at(10), Snapshot::clone).0, full);
        table.delete(b"1");
        let empty = Arc::new(table.snapshot(Freshness::Synced));
        let (held, until) = filter.show(&empty, hold, at(20), Snapshot::clone);
        assert_eq!(held.instances(), full.instances());
        assert!(matches!(held.freshness(), Freshness::Stale { .. }));
        assert_eq!(until, Some(Duration::from_secs(25)));
        assert_eq!(filter.show(&empty, hold, at(25), Snapshot::clone), (Arc::clone(&empty), None));
        assert_eq!(filter.show(&empty, EmptyPolicy::Follow, at(21), Snapshot::clone).0, empty);
    }
}
