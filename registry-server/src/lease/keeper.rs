//! The deadlines of the node that leads, shared between `apply`, keep-alives, and the tasks that
//! revoke and record leases.
//!
//! A node that does not lead has them too, but nobody moves them there and nothing comes of them: a new leader begins
//! each anew, with what the log says remains of its lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::Instant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::checkpoints::Checkpoint;
use super::deadlines::{Deadlines, Found};
use crate::types::planted::{Bug, planted};
use crate::types::{Counter, Grant, LeaseId, Runtime};

/// A lease that could not be revoked is tried again after this long.
const RETRY: Duration = Duration::from_millis(500);
/// The expiry task looks at the clock at least this often, so that a new, sooner deadline needs no wake-up
/// of its own when it is further away than this.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

type InstantOf<R> = <R as AsyncRuntime>::Instant;

/// What a keep-alive is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Renewed for its whole TTL.
    Renewed(Duration),
    /// There is no such lease, or not any more.
    Unknown,
    /// Not renewed: the log says that less remains of this life, and a checkpoint of 0 must take that back first.
    Recorded(Grant),
    /// This node does not lead, so it knows nothing of deadlines.
    NotLeading,
}

/// The deadlines. Time is the runtime's monotonic clock: the wall clock may jump as it likes.
///
/// Its lock is the last one to be taken: `apply` tells of changes while it holds those of the state, so that
/// nobody sees a change that the keeper has not heard of.
pub struct Keeper<R: Runtime> {
    inner: Mutex<Inner<R>>,
    renewed: Counter,
    expired: Counter,
}

struct Inner<R: Runtime> {
    /// The term in which this node leads.
    leading: Option<u64>,
    deadlines: Deadlines<InstantOf<R>>,
    /// Who waits for the end of a lease's revocation or checkpoint; there only while somebody does. One wake-up for
    /// each lease: a thousand that expire together must not wake the owners of all at each of their ends.
    waiting: BTreeMap<LeaseId, Arc<Notify>>,
}

impl<R: Runtime> Inner<R> {
    /// A revocation or a checkpoint of the lease has ended.
    fn settled(&mut self, id: LeaseId) {
        if let Some(waiting) = self.waiting.remove(&id) {
            waiting.notify_waiters();
        }
    }

    /// Leadership has begun or ended: whoever waits looks again.
    fn settled_all(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            waiting.notify_waiters();
        }
    }
}

impl<R: Runtime> Default for Keeper<R> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner { leading: None, deadlines: Deadlines::new(), waiting: BTreeMap::new() }),
            renewed: Counter::default(),
            expired: Counter::default(),
        }
    }
}

impl<R: Runtime> std::fmt::Debug for Keeper<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl<R: Runtime> Keeper<R> {
    /// A lease was granted: its whole TTL begins now.
    pub fn granted(&self, grant: Grant, ttl_seconds: i64) {
        self.inner.lock().deadlines.set(grant, seconds(ttl_seconds), InstantOf::<R>::now());
    }

    /// The log says what remains of a lease; none for its whole TTL. Its deadline here stays what it is.
    pub fn recorded(&self, id: LeaseId, remaining_seconds: Option<i64>) {
        self.inner.lock().deadlines.recorded(id, remaining_seconds.map(seconds));
    }

    /// This node leads in a term, and has applied all that came before: every lease goes on with what the log says remains
    /// of it. Nobody could have kept one alive before, as far as this node knows.
    pub fn lead(&self, term: u64) {
        let mut inner = self.inner.lock();
        inner.leading = Some(term);
        if !planted(Bug::DeadlinesNotRestarted) {
            inner.deadlines.restart(InstantOf::<R>::now());
        }
        inner.settled_all();
    }

    /// This node no longer leads.
    pub fn follow(&self) {
        let mut inner = self.inner.lock();
        inner.leading = None;
        inner.settled_all();
    }

    /// The term in which this node leads, as far as it knows.
    pub fn leading(&self) -> Option<u64> {
        self.inner.lock().leading
    }

    /// A lease was revoked.
    pub fn revoked(&self, id: LeaseId) {
        let mut inner = self.inner.lock();
        inner.deadlines.remove(id);
        inner.settled(id);
    }

    /// Renews a lease. One that is being revoked or recorded is waited for: the answer comes when it is gone,
    /// or when it is settled that it lives on.
    pub async fn renew(&self, id: LeaseId) -> Renewal {
        loop {
            let waiting;
            let settled = {
                let mut inner = self.inner.lock();
                if inner.leading.is_none() {
                    return Renewal::NotLeading;
                }
                match inner.deadlines.renew(id, InstantOf::<R>::now()) {
                    Found::Renewed(ttl) => {
                        self.renewed.inc();
                        return Renewal::Renewed(ttl);
                    }
                    Found::Unknown => return Renewal::Unknown,
                    Found::Recorded(grant) => return Renewal::Recorded(grant),
                    Found::Revoking | Found::Recording => waiting = inner.waiting.entry(id).or_default().clone(),
                }
                // Made before the lock is given back, so that no wake-up in between is missed.
                waiting.notified()
            };
            settled.await;
        }
    }

    /// A lease was revoked because its time had come.
    pub fn note_expired(&self) {
        self.expired.inc();
    }

    /// How many keep-alives renewed their lease on this node.
    pub fn renewed_total(&self) -> u64 {
        self.renewed.get()
    }

    /// How many leases this node revoked because their time had come.
    pub fn expired_total(&self) -> u64 {
        self.expired.get()
    }

    /// Those of these leases of which the log says that less than the whole TTL remains.
    pub fn recorded_among(&self, ids: impl Iterator<Item = LeaseId>) -> Vec<Grant> {
        let inner = self.inner.lock();
        ids.filter_map(|id| inner.deadlines.recorded_grant(id)).collect()
    }

    /// Takes up to `max` leases whose checkpoint is due, with the term in which this node leads, and whether more may be.
    /// Each must then be given to [`Keeper::checkpoints_ended`], as it is not renewed before. None on a node that does
    /// not lead.
    pub fn take_checkpoints(&self, max: usize) -> Option<(u64, Vec<Checkpoint>, bool)> {
        let mut inner = self.inner.lock();
        let term = inner.leading?;
        let (due, more) = inner.deadlines.take_checkpoints(InstantOf::<R>::now(), max);
        Some((term, due, more))
    }

    /// The outcome of checkpoints of a term is known and, if they were recorded, was told; or it is not, and then they
    /// count as recorded.
    pub fn checkpoints_ended(&self, term: u64, checkpoints: &[Checkpoint], is_known: bool) {
        let mut inner = self.inner.lock();
        if inner.leading != Some(term) {
            return;
        }
        for checkpoint in checkpoints {
            inner.deadlines.checkpoint_ended(checkpoint, is_known);
            inner.settled(checkpoint.grant.id);
        }
    }

    /// How long a lease still lives without a keep-alive; zero once its time has come.
    pub fn remaining(&self, id: LeaseId) -> Option<Duration> {
        let at = self.inner.lock().deadlines.at(id)?;
        let now = InstantOf::<R>::now();
        Some(if at > now { at - now } else { Duration::ZERO })
    }

    /// Waits until this node leads and leases are due, and takes up to `max` of them, with the term. Each must then be revoked,
    /// or given back with [`Keeper::not_revoked`]. Dropping the future while it waits takes none.
    pub async fn due(&self, max: usize) -> (u64, Vec<Grant>) {
        loop {
            let now = InstantOf::<R>::now();
            let next = {
                let mut inner = self.inner.lock();
                let leading = inner.leading;
                match leading {
                    None => None,
                    Some(term) => {
                        let due = inner.deadlines.take_due(now, max);
                        if !due.is_empty() {
                            return (term, due);
                        }
                        inner.deadlines.next()
                    }
                }
            };
            let latest = now + LONGEST_WAIT;
            R::sleep_until(next.map_or(latest, |next| next.min(latest))).await;
        }
    }

    /// A revocation of a term did not go through, nor ever will; if this node still leads in it, the lease is due again
    /// shortly.
    pub fn not_revoked(&self, term: u64, grant: Grant) {
        let mut inner = self.inner.lock();
        if inner.leading != Some(term) {
            return;
        }
        inner.deadlines.put_back(grant, InstantOf::<R>::now() + RETRY);
        inner.settled(grant.id);
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use openraft::impls::TokioRuntime;
    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::types::GrantNumber;

    const LEASES: i64 = 1_000;

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_lease_wakes_its_own_keep_alives_and_no_others() {
        let keeper = Arc::new(Keeper::<TokioRuntime>::default());
        (1..=LEASES).for_each(|id| keeper.granted(Grant { id: LeaseId(id), number: GrantNumber(1) }, 10));
        keeper.lead(1);
        let (term, due) = keeper.due(LEASES as usize).await;
        let polls = Arc::new(AtomicUsize::new(0));
        let mut owners = JoinSet::new();
        for grant in &due {
            let (keeper, polls, id) = (keeper.clone(), polls.clone(), grant.id);
            owners.spawn(async move {
                let mut renewing = pin!(keeper.renew(id));
                poll_fn(|context| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    renewing.as_mut().poll(context)
                })
                .await
            });
        }
        yield_now().await;
        // Half of them end, and the others are given back, each on its own.
        for grant in &due {
            match grant.id.0 % 2 {
                0 => keeper.revoked(grant.id),
                _ => keeper.not_revoked(term, *grant),
            }
            yield_now().await;
        }
        let answers = owners.join_all().await;
        assert_eq!(answers.iter().filter(|answer| **answer == Renewal::Unknown).count(), LEASES as usize / 2);
        assert_eq!(keeper.renewed_total(), LEASES as u64 / 2);
        assert!(keeper.inner.lock().waiting.is_empty());
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 2 * LEASES as usize, "{polls} polls");
    }
}
