//! Linearizable reads: all that wait share one confirmation of leadership, on whichever member they came.
//!
//! A read that arrives while a round is under way waits for the next one: a round may only serve reads
//! that had arrived before it began. A round that finds no leader is tried again for as long as anybody waits.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::{mpsc, oneshot};

use super::applier::RaftHandle;
use super::error::ReadError;
use super::leaders::{Leader, Leaders};
use super::messages::read_index_from_bytes;
use super::state_machine::StateMachine;
use super::transport::Call;
use super::types::{Leadership, RaftLogId};
use crate::storage::Vfs;
use crate::types::Runtime;
use crate::types::planted::{Bug, planted};

/// Reads that may wait for a round; beyond, a read is refused.
const MAX_WAITING: usize = 65_536;
/// Before a round that found no leader is tried again.
const PAUSE: Duration = Duration::from_millis(20);

type Waiter = oneshot::Sender<Result<(), ReadError>>;

/// Where reads wait for their round.
#[derive(Debug, Clone)]
pub(super) struct Reads(mpsc::Sender<Waiter>);

impl Reads {
    /// Starts the task that runs the rounds; it ends with the last handle.
    pub(super) fn start<S: StateMachine, R: Runtime, V: Vfs>(
        raft: RaftHandle<S, R, V>,
        leaders: Leaders<S, R, V>,
        round_limit: Duration,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        drop(R::spawn(rounds(raft, leaders, receiver, round_limit)));
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

/// Up to which entry a read on any member must wait, confirmed by a quorum.
///
/// # Errors
/// [`ReadError::NoLeader`] when this node does not lead, or no quorum says so.
pub(super) async fn read_index<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
) -> Result<RaftLogId, ReadError> {
    match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
        Ok((read_log_id, _)) => Ok(*read_log_id.log_id()),
        Err(openraft::errors::RaftError::Fatal(_)) => Err(ReadError::Stopped),
        Err(openraft::errors::RaftError::APIError(_)) => Err(ReadError::NoLeader),
    }
}

/// Whether a quorum has acknowledged this node as leader so recently that no other can lead by now.
pub(super) async fn holds_lease<S: StateMachine, R: Runtime, V: Vfs>(raft: &RaftHandle<S, R, V>) -> bool {
    raft.get_read_log_id(ReadPolicy::LeaseRead).await.is_ok()
}

/// Waits until an entry was applied here, or one of a later leader: the entry may be one that a leader wrote and lost, and
/// what was committed before it is in the later leader's log.
pub(super) async fn applied<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    log_id: RaftLogId,
) -> Result<(), ReadError> {
    let mut metrics = raft.data_metrics();
    loop {
        if metrics.borrow_and_update().last_applied >= Some(log_id) {
            return Ok(());
        }
        metrics.changed().await.map_err(|_| ReadError::Stopped)?;
    }
}

/// Confirms that this node leads in a leadership, and has applied all that was committed before it.
pub(super) async fn confirm<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    leaders: &Leaders<S, R, V>,
) -> Result<Leadership, ReadError> {
    let Some(Leader::Myself(leadership)) = leaders.now() else { return Err(ReadError::NoLeader) };
    applied(raft, read_index(raft).await?).await?;
    if leaders.now() != Some(Leader::Myself(leadership)) {
        return Err(ReadError::NoLeader);
    }
    Ok(leadership)
}

async fn rounds<S: StateMachine, R: Runtime, V: Vfs>(
    raft: RaftHandle<S, R, V>,
    leaders: Leaders<S, R, V>,
    mut waiting: mpsc::Receiver<Waiter>,
    round_limit: Duration,
) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, MAX_WAITING).await > 0 {
        let outcome = loop {
            match one_round(&raft, &leaders, round_limit).await {
                Err(ReadError::NoLeader | ReadError::TimedOut) if !round.iter().all(Waiter::is_closed) => {
                    R::sleep(PAUSE).await;
                }
                outcome => break outcome,
            }
        };
        while !waiting.is_empty()
            && planted(Bug::ReadIndexReused)
            && let Ok(late) = waiting.try_recv()
        {
            round.push(late);
        }
        for waiter in round.drain(..) {
            // A caller that is gone needs no answer.
            let _ = waiter.send(outcome);
        }
    }
}

async fn one_round<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    leaders: &Leaders<S, R, V>,
    limit: Duration,
) -> Result<(), ReadError> {
    let log_id = match leaders.now() {
        None => return Err(ReadError::NoLeader),
        Some(Leader::Myself(_)) if planted(Bug::ReadWithoutRound) => return Ok(()),
        Some(Leader::Myself(_)) => read_index(raft).await?,
        Some(Leader::Other(leadership)) => {
            let link = leaders.link(leadership.member).ok_or(ReadError::NoLeader)?;
            let answer = link.call(Call::ReadIndex, bytes::Bytes::new(), limit).await;
            let answer = answer.map_err(|_| ReadError::NoLeader)?;
            let read_index = read_index_from_bytes(answer).ok().flatten().ok_or(ReadError::NoLeader)?;
            if planted(Bug::FollowerReadsAtOnce) {
                return Ok(());
            }
            read_index
        }
    };
    applied(raft, log_id).await
}
