//! The batcher: everything that waits goes into one Raft entry.
//!
//! It never waits for more to come. While [`MAX_IN_FLIGHT`] entries are under way, proposals gather, so
//! batches grow with the load and a lone proposal goes at once.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::applier::RaftHandle;
use super::encoding::put_command;
use super::error::ProposeError;
use super::state_machine::StateMachine;
use super::types::{Batch, Callback, TypeConfig};
use crate::storage::{Reservation, Vfs, Wal, WalError};
use crate::types::Runtime;

/// Proposals that may wait, and their bytes; beyond, a proposal is refused with "too many requests".
const MAX_WAITING: usize = 8_192;
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Commands of one entry, at most.
const MAX_COMMANDS: usize = 1_000;
/// An entry is closed once it holds this much.
const MAX_BYTES: usize = 1024 * 1024;
/// Entries under way at once: one being written to disk, one waiting, the others being applied.
const MAX_IN_FLIGHT: usize = 4;

type Outcome<S> = Result<<S as StateMachine>::Reply, ProposeError>;

pub(super) struct Proposal<S: StateMachine> {
    command: Bytes,
    /// Given back when the proposal has become part of an entry.
    _waiting_bytes: OwnedSemaphorePermit,
    reply: oneshot::Sender<Outcome<S>>,
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
async fn reserve<V: Vfs>(wal: &Wal<V>, bytes: usize) -> Result<Option<Reservation>, ProposeError> {
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

impl<S: StateMachine> Batcher<S> {
    /// Starts the task that makes the entries; it ends with the last handle.
    pub(super) fn start<R: Runtime, V: Vfs>(raft: RaftHandle<S, R, V>, wal: Wal<V>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        drop(R::spawn(run(raft, receiver, wal)));
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
    raft: RaftHandle<S, R, V>,
    mut waiting: mpsc::Receiver<Proposal<S>>,
    wal: Wal<V>,
) {
    let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut next = None;
    loop {
        let permit = in_flight.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Some(first) = (match next.take() {
            Some(proposal) => Some(proposal),
            None => waiting.recv().await,
        }) else {
            return;
        };
        let Gathered { batch, replies, next: left } = gather(first, &mut waiting);
        next = left;
        let reservation = match reserve(&wal, batch.0.len()).await {
            Ok(reservation) => reservation,
            Err(error) => {
                answer_all(replies, error);
                continue;
            }
        };
        let done = Callback::new(move |result: ClientWriteResult<TypeConfig<S, R>>| {
            distribute(result, replies);
            drop((reservation, permit));
        });
        // On a fatal error the callback is dropped, and every proposer learns that the node stopped.
        if raft.client_write_ff(batch, Some(done)).await.is_err() {
            return;
        }
    }
}

/// What one entry is made of.
struct Gathered<S: StateMachine> {
    batch: Batch,
    replies: Vec<oneshot::Sender<Outcome<S>>>,
    /// The proposal that did not fit and begins the next entry.
    next: Option<Proposal<S>>,
}

/// Makes one entry of `first` and what waits behind it.
fn gather<S: StateMachine>(first: Proposal<S>, waiting: &mut mpsc::Receiver<Proposal<S>>) -> Gathered<S> {
    let mut bytes = BytesMut::with_capacity(first.command.len() + 4);
    let mut replies = Vec::new();
    let mut next = Some(first);
    while let Some(proposal) = next.take() {
        if !replies.is_empty() && bytes.len() + proposal.command.len() > MAX_BYTES {
            return Gathered { batch: Batch(bytes.freeze()), replies, next: Some(proposal) };
        }
        put_command(&mut bytes, &proposal.command);
        replies.push(proposal.reply);
        if replies.len() < MAX_COMMANDS {
            next = waiting.try_recv().ok();
        }
    }
    Gathered { batch: Batch(bytes.freeze()), replies, next: None }
}

fn distribute<S: StateMachine, R: Runtime>(
    result: ClientWriteResult<TypeConfig<S, R>>,
    waiters: Vec<oneshot::Sender<Outcome<S>>>,
) {
    match result {
        Ok(response) => {
            for (waiter, reply) in waiters.into_iter().zip(response.data) {
                // A caller that is gone needs no answer.
                drop(waiter.send(Ok(reply)));
            }
        }
        Err(ClientWriteError::ForwardToLeader(_)) => answer_all(waiters, ProposeError::NoLeader),
        Err(_) => answer_all(waiters, ProposeError::LeaderChanged),
    }
}

fn answer_all<T>(waiters: Vec<oneshot::Sender<Result<T, ProposeError>>>, error: ProposeError) {
    for waiter in waiters {
        drop(waiter.send(Err(error)));
    }
}
