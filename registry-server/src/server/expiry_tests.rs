//! Expiry over a node whose answers the test gives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use openraft::impls::TokioRuntime;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, timeout};

use super::*;
use crate::lease::Renewal;
use crate::types::{GrantNumber, LeaseId};

type Clock = Keeper<TokioRuntime>;

/// A TTL, and when a node is asked again at the latest.
const TTL: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(2);

const TERM: u64 = 3;

/// What the node answers, in the order of its revocations of a lease; then it revokes.
#[derive(Default)]
struct Scripted {
    keeper: Arc<Clock>,
    answers: Mutex<HashMap<LeaseId, Vec<Answer>>>,
    asked: Mutex<Vec<Grant>>,
    unconfirmed: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Answer {
    /// After a while.
    Fails(Duration, ProposeError),
    /// It was applied, and refused.
    Refuses,
    /// Never.
    Hangs,
}

impl Revoker for Scripted {
    async fn confirm(&self) -> Result<u64, ReadError> {
        let left = self.unconfirmed.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(ReadError::NoLeader) } else { Ok(TERM) }
    }

    async fn revoke(&self, grant: Grant, _term: u64) -> Result<Revocation, ProposeError> {
        self.asked.lock().push(grant);
        let answer = self.answers.lock().get_mut(&grant.id).filter(|left| !left.is_empty()).map(|left| left.remove(0));
        match answer {
            Some(Answer::Hangs) => std::future::pending().await,
            Some(Answer::Refuses) => Ok(Revocation::Refused),
            Some(Answer::Fails(after, error)) => {
                tokio::time::sleep(after).await;
                Err(error)
            }
            None => {
                self.keeper.revoked(grant.id);
                Ok(Revocation::Revoked)
            }
        }
    }
}

impl Scripted {
    fn with(answers: &[(i64, &[Answer])]) -> Arc<Self> {
        let answers = answers.iter().map(|(id, answers)| (LeaseId(*id), answers.to_vec())).collect();
        Arc::new(Self { answers: Mutex::new(answers), ..Self::default() })
    }

    fn grant(&self, id: i64) {
        self.keeper.granted(Grant { id: LeaseId(id), number: GrantNumber(1) }, TTL.as_secs() as i64);
    }

    fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let this = self.clone();
        this.keeper.lead(TERM);
        tokio::spawn(async move { expire(&*this, &this.keeper).await })
    }

    fn asked_of(&self, id: i64) -> usize {
        self.asked.lock().iter().filter(|grant| grant.id.0 == id).count()
    }

    async fn wait_until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(limit, waiting).await.expect("it does not come to that in time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_of_unknown_outcome_holds_no_other_lease_up() {
    let node = Scripted::with(&[(1, &[Answer::Hangs])]);
    node.grant(1);
    let expiring = node.start();
    // While the first one hangs, many more than are under way at once come due.
    node.wait_until(TTL + LATE, |node| node.asked_of(1) == 1).await;
    let many = 3 * AT_ONCE as i64;
    (2..2 + many).for_each(|id| node.grant(id));
    node.wait_until(TTL + LATE, |node| node.keeper.expired_total() == many as u64).await;
    assert_eq!(node.asked_of(1), 1);
    expiring.abort();
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_bound_are_under_way() {
    let node = Scripted::with(&[]);
    let many = 2 * AT_ONCE as i64;
    for id in 1..=many {
        node.grant(id);
        node.answers.lock().insert(LeaseId(id), vec![Answer::Hangs]);
    }
    let expiring = node.start();
    advance(TTL + LATE).await;
    node.wait_until(LATE, |node| node.asked.lock().len() == AT_ONCE).await;
    tokio::time::sleep(TTL).await;
    assert_eq!(node.asked.lock().len(), AT_ONCE);
    expiring.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_revocation_has_an_unknown_outcome_is_not_renewed_and_is_revoked_at_last() {
    let seconds = Duration::from_secs;
    // Refused while an earlier attempt may still be on its way settles nothing.
    let answers = [
        Answer::Fails(seconds(7), ProposeError::TimedOut),
        Answer::Fails(seconds(0), ProposeError::TooManyRequests),
        Answer::Fails(seconds(0), ProposeError::NoSpace),
        Answer::Fails(seconds(1), ProposeError::LeaderChanged),
        Answer::Fails(seconds(0), ProposeError::NoLeader),
    ];
    let node = Scripted::with(&[(1, &answers)]);
    node.grant(1);
    let expiring = node.start();
    node.wait_until(TTL + LATE, |node| node.asked_of(1) == 1).await;
    let keeper = node.keeper.clone();
    let kept = tokio::spawn(async move { keeper.renew(LeaseId(1)).await });
    node.wait_until(seconds(30), |node| node.asked_of(1) == 1 + answers.len()).await;
    assert_eq!(kept.await.unwrap(), Renewal::Unknown);
    assert_eq!((node.keeper.renewed_total(), node.keeper.expired_total()), (0, 1));
    expiring.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refused_revocation_lets_the_lease_be_renewed() {
    let fails = [Answer::Fails(Duration::ZERO, ProposeError::TooManyRequests)];
    let [by_node, by_apply, by_nobody] = [(0, fails.as_slice()), (0, &[Answer::Refuses]), (1, &[])];
    for (unconfirmed, answers) in [by_node, by_apply, by_nobody] {
        let node = Scripted::with(&[(1, answers)]);
        node.unconfirmed.store(unconfirmed, Ordering::Relaxed);
        node.grant(1);
        let begin = Instant::now();
        let expiring = node.start();
        advance(TTL).await;
        let keeper = node.keeper.clone();
        node.wait_until(LATE, |_| keeper.remaining(LeaseId(1)).is_some_and(|left| left > Duration::ZERO)).await;
        assert_eq!(node.keeper.renew(LeaseId(1)).await, Renewal::Renewed(TTL));
        let renewed = Instant::now();
        node.wait_until(TTL + LATE, |node| node.keeper.expired_total() == 1).await;
        assert!(renewed.elapsed() >= TTL && begin.elapsed() >= 2 * TTL);
        assert_eq!(node.asked_of(1), 2 - unconfirmed);
        expiring.abort();
    }
}
