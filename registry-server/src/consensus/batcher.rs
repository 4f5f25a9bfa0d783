//! The batcher: everything that waits goes into one Raft entry, here or at the member that leads.
//!
//! It never waits for more to come. While [`MAX_IN_FLIGHT`] entries are under way, or while no leader is known,
//! proposals gather, so batches grow with the load and a lone proposal goes at once. A batch that is known not
//! to have happened is sent again; one of which nobody knows is not, see `pending`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::applier::RaftHandle;
use super::encoding::put_command;
use super::error::ProposeError;
use super::leaders::{Leader, Leaders};
use super::messages::{Proposed, Taken};
use super::pending::{Attempt, Carried, Outcome, Pending, Waiter};
use super::state_machine::StateMachine;
use super::transport::{Call, LinkError};
use super::types::{Batch, Callback, Leadership, TypeConfig};
use crate::storage::{Reservation, Vfs, Wal, WalError};
use crate::types::Runtime;
use crate::types::planted::{Bug, planted};

/// Proposals that may wait, and their bytes; beyond, a proposal is refused with "too many requests".
const MAX_WAITING: usize = 8_192;
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Commands of one entry, at most.
const MAX_COMMANDS: usize = 1_000;
/// An entry is closed once it holds this much.
const MAX_BYTES: usize = 1024 * 1024;
/// Entries under way at once: one being written to disk, one waiting, the others being applied.
const MAX_IN_FLIGHT: usize = 4;
/// Forwarded batches of which it is open whether they happened, while the connection to the leader was lost.
const MAX_UNKNOWN: usize = 64;
/// All batches that there can be at once.
pub(super) const MAX_BATCHES: usize = 2 * (MAX_IN_FLIGHT + MAX_UNKNOWN);
/// Before a batch that a leader has refused is sent again: it is about to hand over, or not yet ready.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Proposal<S: StateMachine> {
    command: Bytes,
    /// Given back when the proposal has become part of an entry.
    _waiting_bytes: OwnedSemaphorePermit,
    reply: Waiter<S>,
}

/// Where proposals wait for their entry.
pub(super) struct Batcher<S: StateMachine> {
    sender: mpsc::Sender<Proposal<S>>,
    waiting_bytes: Arc<Semaphore>,
}

impl<S: StateMachine> Clone for Batcher<S> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting_bytes: self.waiting_bytes.clone() }
    }
}

/// Reserves room in the log for an entry, given back when it is done: an error that heals must not reach
/// openraft, which would stop. While the log only waits for its next segment or for entries under way, this waits
/// too; what is proposed meanwhile gathers in the queue, which has a bound.
///
/// None when the log has failed for good: then openraft must meet the error, and stops the node.
pub(super) async fn reserve<V: Vfs>(wal: &Wal<V>, bytes: usize) -> Result<Option<Reservation>, ProposeError> {
    let mut changed: Option<oneshot::Receiver<()>> = None;
    loop {
        match wal.reserve(bytes) {
            Ok(reservation) => return Ok(Some(reservation)),
            Err(WalError::NoSpace | WalError::NoSegment(_)) => return Err(ProposeError::NoSpace),
            Err(WalError::TooLarge { .. }) => return Err(ProposeError::TooLarge),
            Err(WalError::Closed) => return Err(ProposeError::Stopped),
            Err(WalError::Full) => {}
            Err(_) => return Ok(None),
        }
        match changed.take() {
            // The log wakes everybody when it closes or fails; an error would mean the same.
            Some(changed) => drop(changed.await),
            // Asked for before the next attempt, so that a change in between is not missed.
            None => {
                let (wake, woken) = oneshot::channel();
                wal.when_changed(move || wake.send(()).unwrap_or_default());
                changed = Some(woken);
            }
        }
    }
}

/// What the batcher's task stands on.
pub(super) struct Way<S: StateMachine, R: Runtime, V: Vfs> {
    pub(super) raft: RaftHandle<S, R, V>,
    pub(super) wal: Wal<V>,
    pub(super) leaders: Leaders<S, R, V>,
    pub(super) pending: Arc<Pending<S>>,
    /// How long a forwarded batch may take.
    pub(super) request_timeout: Duration,
}

impl<S: StateMachine> Batcher<S> {
    /// Starts the task that makes the entries; it ends with the last handle. `lost` are batches to be sent again.
    pub(super) fn start<R: Runtime, V: Vfs>(way: Way<S, R, V>, lost: mpsc::Receiver<Carried<S>>) -> Self {
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        drop(R::spawn(async move {
            let pending = way.pending.clone();
            run(way, waiting, lost).await;
            pending.close();
        }));
        Self { sender, waiting_bytes: Arc::new(Semaphore::new(MAX_WAITING_BYTES)) }
    }

    /// Submits a command and returns its outcome once it was applied.
    pub(super) async fn propose(&self, command: Bytes) -> Outcome<S> {
        let bytes = u32::try_from(command.len()).unwrap_or(u32::MAX);
        let waiting_bytes = self.waiting_bytes.clone().try_acquire_many_owned(bytes);
        let waiting_bytes = waiting_bytes.map_err(|_| ProposeError::TooManyRequests)?;
        let (reply, outcome) = oneshot::channel();
        let proposal = Proposal { command, _waiting_bytes: waiting_bytes, reply };
        self.sender.try_send(proposal).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::TooManyRequests,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        outcome.await.unwrap_or(Err(ProposeError::Stopped))
    }
}

async fn run<S: StateMachine, R: Runtime, V: Vfs>(
    way: Way<S, R, V>,
    mut waiting: mpsc::Receiver<Proposal<S>>,
    mut lost: mpsc::Receiver<Carried<S>>,
) {
    let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let unknown = Arc::new(Semaphore::new(MAX_UNKNOWN));
    let mut batches = Batches { next: None, number: 0 };
    loop {
        let permit = in_flight.clone().acquire_owned().await.expect("the semaphore is never closed");
        let batch = tokio::select! {
            biased;
            Some(batch) = lost.recv() => batch,
            gathered = batches.gather(&mut waiting) => match gathered {
                Some(batch) => batch,
                None => return,
            },
        };
        // A leader may be long in coming, and the callers give up after the request timeout.
        let Some(leader) = way.leaders.known().await else {
            batch.answer_all(ProposeError::Stopped);
            return;
        };
        if batch.is_abandoned() {
            continue;
        }
        let (Leader::Myself(leadership) | Leader::Other(leadership)) = leader;
        let Some(batch) = unless_over::<S, R>(&way.pending, leadership, batch).await else { continue };
        match leader {
            Leader::Myself(leadership) => {
                if !way.append(leadership, batch, permit).await {
                    return;
                }
            }
            Leader::Other(leadership) => way.forward(leadership, batch, permit, unknown.clone()),
        }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> Way<S, R, V> {
    /// Puts a batch into this node's log. False when the node stops.
    async fn append(&self, leadership: Leadership, batch: Carried<S>, permit: OwnedSemaphorePermit) -> bool {
        let reservation = match reserve(&self.wal, batch.commands.len()).await {
            Ok(reservation) => reservation,
            Err(error) => {
                batch.answer_all(error);
                return true;
            }
        };
        let (number, commands) = (batch.number, batch.commands.clone());
        let Some(attempt) = self.pending.sending(leadership, batch, permit) else { return true };
        let under_way = UnderWay { pending: self.pending.clone(), number, attempt, has_ended: false };
        let done = Callback::new(move |result: ClientWriteResult<TypeConfig<S, R>>| {
            under_way.ended(&result);
            drop(reservation);
        });
        let entry = Batch { origin: self.pending.origin(number), commands };
        self.raft.write(entry).responder(done).with_leader(leadership).await.is_ok()
    }

    /// Sends a batch to the leader. It is answered when this node applies it.
    fn forward(
        &self,
        leadership: Leadership,
        batch: Carried<S>,
        permit: OwnedSemaphorePermit,
        unknown: Arc<Semaphore>,
    ) {
        let (number, commands) = (batch.number, batch.commands.clone());
        let Some(attempt) = self.pending.sending(leadership, batch, permit) else { return };
        let link = self.leaders.link(leadership.member);
        let (pending, timeout) = (self.pending.clone(), self.request_timeout);
        let proposed = Proposed { leader: leadership, origin: pending.origin(number), commands };
        drop(R::spawn(async move {
            let taken = match link {
                None => Taken::NotLeader,
                Some(link) => match link.call(Call::Propose, proposed.to_bytes(), timeout).await {
                    Ok(answer) => Taken::from_bytes(answer).unwrap_or(Taken::Unknown),
                    Err(LinkError::NotSent(_) | LinkError::Refused(_)) => Taken::NotLeader,
                    Err(LinkError::Lost(_)) => Taken::Unknown,
                },
            };
            drop(proposed);
            match taken {
                Taken::Committed => pending.committed(number, attempt),
                Taken::NotLeader => again_soon::<S, R>(&pending, number, attempt).await,
                Taken::NoSpace => refuse(&pending, number, attempt, ProposeError::NoSpace),
                Taken::TooLarge => refuse(&pending, number, attempt, ProposeError::TooLarge),
                Taken::Unknown if planted(Bug::UnknownSentAgain) => again_soon::<S, R>(&pending, number, attempt).await,
                Taken::Unknown if planted(Bug::UnknownToldAsRefused) => {
                    refuse(&pending, number, attempt, ProposeError::NoLeader);
                }
                Taken::Unknown => {
                    // It makes room for others, as long as there are not too many of its kind.
                    if let Ok(parked) = unknown.try_acquire_owned() {
                        pending.park(number, attempt, parked);
                    }
                    // Until then it may still be applied, or turn out to be lost.
                    R::sleep(timeout).await;
                    refuse(&pending, number, attempt, ProposeError::TimedOut);
                }
            }
        }));
    }
}

/// A batch that may be sent to a leadership. When that is over, none: the log knows of a later leader already and this node
/// soon will, so the batch is tried again after a pause, without which it would go round and round until then.
pub(super) async fn unless_over<S: StateMachine, R: Runtime>(
    pending: &Pending<S>,
    leadership: Leadership,
    batch: Carried<S>,
) -> Option<Carried<S>> {
    if !pending.is_over(leadership) {
        return Some(batch);
    }
    R::sleep(REFUSED_PAUSE).await;
    pending.send_again(batch);
    None
}

/// A leader has refused a batch before it was in any log: it is sent again after a pause. It is taken out first, so that
/// nothing else sends it meanwhile.
async fn again_soon<S: StateMachine, R: Runtime>(pending: &Pending<S>, number: u64, attempt: Attempt) {
    if let Some(batch) = pending.take(number, attempt) {
        R::sleep(REFUSED_PAUSE).await;
        pending.send_again(batch);
    }
}

fn refuse<S: StateMachine>(pending: &Pending<S>, number: u64, attempt: Attempt, error: ProposeError) {
    if let Some(batch) = pending.take(number, attempt) {
        batch.answer_all(error);
    }
}

/// A batch in this node's log, until openraft says how it ended; on a fatal error it says nothing.
struct UnderWay<S: StateMachine> {
    pending: Arc<Pending<S>>,
    number: u64,
    attempt: Attempt,
    has_ended: bool,
}

impl<S: StateMachine> UnderWay<S> {
    fn ended<R: Runtime>(mut self, result: &ClientWriteResult<TypeConfig<S, R>>) {
        self.has_ended = true;
        match result {
            // Applying it has answered. What a new leader's log has replaced is found lost when one of its
            // entries is applied.
            Ok(_) | Err(ClientWriteError::LogEntryDiscarded(_)) => {}
            Err(ClientWriteError::ForwardToLeader(_)) => {
                let (pending, number, attempt) = (self.pending.clone(), self.number, self.attempt);
                drop(R::spawn(async move { again_soon::<S, R>(&pending, number, attempt).await }));
            }
            Err(_) => refuse(&self.pending, self.number, self.attempt, ProposeError::LeaderChanged),
        }
    }
}

impl<S: StateMachine> Drop for UnderWay<S> {
    fn drop(&mut self) {
        if !self.has_ended {
            refuse(&self.pending, self.number, self.attempt, ProposeError::Stopped);
        }
    }
}

/// Makes batches of what waits.
struct Batches<S: StateMachine> {
    /// The proposal that did not fit and begins the next batch.
    next: Option<Proposal<S>>,
    number: u64,
}

impl<S: StateMachine> Batches<S> {
    /// Waits for a proposal, and makes one batch of it and what waits behind it. None when nobody can propose any
    /// more. Losing the future loses nothing.
    async fn gather(&mut self, waiting: &mut mpsc::Receiver<Proposal<S>>) -> Option<Carried<S>> {
        if self.next.is_none() {
            self.next = Some(waiting.recv().await?);
        }
        let mut bytes = BytesMut::with_capacity(self.next.as_ref().map_or(0, |first| first.command.len() + 4));
        let mut waiters = Vec::new();
        while let Some(proposal) = self.next.take() {
            if !waiters.is_empty() && bytes.len() + proposal.command.len() > MAX_BYTES {
                self.next = Some(proposal);
                break;
            }
            put_command(&mut bytes, &proposal.command);
            waiters.push(proposal.reply);
            if waiters.len() < MAX_COMMANDS {
                self.next = waiting.try_recv().ok();
            }
        }
        self.number += 1;
        Some(Carried { number: self.number, commands: bytes.freeze(), waiters })
    }
}
