//! Linearizable reads: all that wait share one confirmation of leadership.
//!
//! A read that arrives while a round is under way waits for the next one: a round may only serve reads
//! that had arrived before it began.

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};

use super::applier::RaftHandle;
use super::error::ReadError;
use super::state_machine::StateMachine;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Reads that may wait for a round; beyond, a read is refused.
const MAX_WAITING: usize = 65_536;

type Waiter = oneshot::Sender<Result<(), ReadError>>;

/// Where reads wait for their round.
#[derive(Debug, Clone)]
pub(super) struct Reads(mpsc::Sender<Waiter>);

impl Reads {
    /// Starts the task that runs the rounds; it ends with the last handle.
    pub(super) fn start<S: StateMachine, R: Runtime, V: Vfs>(raft: RaftHandle<S, R, V>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        drop(R::spawn(rounds(raft, receiver)));
        Self(sender)
    }

    /// Returns once everything that was committed before the call has been applied here.
    pub(super) async fn barrier(&self) -> Result<(), ReadError> {
        let (waiter, answer) = oneshot::channel();
        self.0.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::TooManyRequests,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }
}

async fn rounds<S: StateMachine, R: Runtime, V: Vfs>(raft: RaftHandle<S, R, V>, mut waiting: mpsc::Receiver<Waiter>) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, MAX_WAITING).await > 0 {
        let outcome = match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => linearizer.await_ready(&raft).await.map(drop).map_err(|_| ReadError::Stopped),
            Err(openraft::errors::RaftError::Fatal(_)) => Err(ReadError::Stopped),
            Err(openraft::errors::RaftError::APIError(_)) => Err(ReadError::NoLeader),
        };
        for waiter in round.drain(..) {
            // A caller that is gone needs no answer.
            let _ = waiter.send(outcome);
        }
    }
}
