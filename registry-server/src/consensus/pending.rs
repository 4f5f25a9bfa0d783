//! Batches under way, and who waits for them.
//!
//! Every entry names the node that made it and the batch's number there, so the node that made it answers when
//! it applies the entry, whoever led when it was committed. That is also how a batch is known to be lost: a
//! leader refuses what was meant for another leadership, so once an entry of a later one is applied, a batch
//! that was not applied before never will be.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::error::ProposeError;
use super::state_machine::StateMachine;
use super::types::{Leadership, Origin};
use crate::types::planted::{Bug, planted};

/// What became of a proposal.
pub(super) type Outcome<S> = Result<<S as StateMachine>::Reply, ProposeError>;

/// Who waits for a proposal.
pub(super) type Waiter<S> = oneshot::Sender<Outcome<S>>;

/// Commands that are to become one entry, and who waits for each.
pub(super) struct Carried<S: StateMachine> {
    pub(super) number: u64,
    pub(super) commands: Bytes,
    pub(super) waiters: Vec<Waiter<S>>,
}

/// The batches of a node that were sent to a leader, itself or another.
pub(super) struct Pending<S: StateMachine> {
    node: u64,
    inner: Mutex<Inner<S>>,
    /// Where batches go that are known not to have happened.
    again: mpsc::Sender<Carried<S>>,
}

struct Inner<S: StateMachine> {
    attempts: u64,
    sent: BTreeMap<u64, Sent<S>>,
    /// Whose entry was the last to be applied.
    reached: Leadership,
    closed: bool,
}

struct Sent<S: StateMachine> {
    to: Leadership,
    attempt: Attempt,
    batch: Carried<S>,
    /// Given back when the batch is here no more, so that others may be sent.
    permit: OwnedSemaphorePermit,
}

/// One sending of a batch. What becomes known of one says nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt(u64);

impl<S: StateMachine> Carried<S> {
    /// Nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.waiters.iter().all(oneshot::Sender::is_closed)
    }

    pub(super) fn answer_all(self, error: ProposeError) {
        for waiter in self.waiters {
            // A caller that is gone needs no answer.
            drop(waiter.send(Err(error)));
        }
    }
}

impl<S: StateMachine> Pending<S> {
    /// `node` is a number that no other node has, and no earlier life of this one.
    /// There are never more than `bound` batches.
    pub(super) fn new(node: u64, bound: usize) -> (Self, mpsc::Receiver<Carried<S>>) {
        let (again, lost) = mpsc::channel(bound);
        let inner = Inner { attempts: 0, sent: BTreeMap::new(), reached: Leadership::default(), closed: false };
        (Self { node, inner: Mutex::new(inner), again }, lost)
    }

    /// Who this node is in its entries.
    pub(super) fn origin(&self, number: u64) -> Origin {
        Origin { node: self.node, number }
    }

    /// Whether an entry of a later leadership was applied: nothing that is sent to this one will be.
    pub(super) fn is_over(&self, leadership: Leadership) -> bool {
        leadership < self.inner.lock().reached
    }

    /// Notes a batch that is about to be sent. None if that leadership is over, and the batch is to be sent to another: it is
    /// then in the queue of those.
    pub(super) fn sending(&self, to: Leadership, batch: Carried<S>, permit: OwnedSemaphorePermit) -> Option<Attempt> {
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner);
            batch.answer_all(ProposeError::Stopped);
            return None;
        }
        if to < inner.reached {
            self.send_again(batch);
            return None;
        }
        inner.attempts += 1;
        let attempt = Attempt(inner.attempts);
        inner.sent.insert(batch.number, Sent { to, attempt, batch, permit });
        Some(attempt)
    }

    /// Takes a batch if it is still this attempt of which something became known: it may have been sent again since, and
    /// that one may succeed.
    pub(super) fn take(&self, number: u64, attempt: Attempt) -> Option<Carried<S>> {
        let mut inner = self.inner.lock();
        if inner.sent.get(&number).is_none_or(|sent| sent.attempt != attempt) {
            return None;
        }
        inner.sent.remove(&number).map(|sent| sent.batch)
    }

    /// The leader says that the batch was committed: it will be applied here, and its bytes are not needed any more.
    pub(super) fn committed(&self, number: u64, attempt: Attempt) {
        if let Some(sent) = self.inner.lock().sent.get_mut(&number).filter(|sent| sent.attempt == attempt) {
            sent.batch.commands = Bytes::new();
        }
    }

    /// Nobody knows what became of the batch: it waits with another permit, so that others may be sent.
    pub(super) fn park(&self, number: u64, attempt: Attempt, permit: OwnedSemaphorePermit) {
        if let Some(sent) = self.inner.lock().sent.get_mut(&number).filter(|sent| sent.attempt == attempt) {
            sent.permit = permit;
        }
    }

    /// An entry of this node was applied; gives who waits for its replies.
    pub(super) fn applied(&self, origin: Origin) -> Vec<Waiter<S>> {
        if origin.node != self.node && !planted(Bug::OriginNotCompared) {
            return Vec::new();
        }
        let sent = self.inner.lock().sent.remove(&origin.number);
        sent.map_or_else(Vec::new, |sent| sent.batch.waiters)
    }

    /// All entries up to one of this leadership were applied. What was sent to earlier ones and is still here is lost.
    pub(super) fn reached(&self, leadership: Leadership) {
        let mut inner = self.inner.lock();
        if leadership <= inner.reached {
            return;
        }
        inner.reached = leadership;
        let sent = std::mem::take(&mut inner.sent);
        let (lost, left) = sent.into_iter().partition(|(_, sent)| sent.to < leadership || planted(Bug::LostTooSoon));
        inner.sent = left;
        BTreeMap::into_values(lost).for_each(|sent| self.send_again(sent.batch));
    }

    /// A snapshot took the place of entries, and nobody knows which: what was under way may have happened.
    pub(super) fn skipped(&self, leadership: Leadership) {
        let mut inner = self.inner.lock();
        inner.reached = inner.reached.max(leadership);
        let sent = std::mem::take(&mut inner.sent);
        drop(inner);
        for (_, sent) in sent {
            if planted(Bug::SkippedSentAgain) {
                self.send_again(sent.batch);
                continue;
            }
            sent.batch.answer_all(ProposeError::LeaderChanged);
        }
    }

    /// The node stops.
    pub(super) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let sent = std::mem::take(&mut inner.sent);
        drop(inner);
        for (_, sent) in sent {
            sent.batch.answer_all(ProposeError::Stopped);
        }
    }

    /// It is known not to have happened.
    pub(super) fn send_again(&self, batch: Carried<S>) {
        match self.again.try_send(batch) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(batch)) => batch.answer_all(ProposeError::TooManyRequests),
            // Without a receiver the node stops.
            Err(mpsc::error::TrySendError::Closed(batch)) => batch.answer_all(ProposeError::Stopped),
        }
    }
}
