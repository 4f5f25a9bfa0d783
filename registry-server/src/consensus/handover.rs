//! Handing leadership over to another member.

use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::AsyncRuntime;

use super::applier::RaftHandle;
use super::state_machine::StateMachine;
use crate::storage::Vfs;
use crate::types::{MemberId, Runtime};

/// Between two attempts: a target whose log is not yet on disk lets one pass.
const PAUSE: Duration = Duration::from_millis(25);

/// Leadership was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// This node does not lead.
    #[error("not leader")]
    NotLeader,
    /// The target is no voter, or has not answered for as long as an election takes.
    #[error("bad leader transferee")]
    BadTarget,
    /// The target did not take over in time.
    #[error("leader transfer took too long")]
    TimedOut,
}

/// Hands over to `to`, or to the voter that has most of the log, and waits until it leads.
///
/// While it is under way this node refuses proposals and sends no heartbeats, so the target is looked at before.
pub(super) async fn hand_over<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    to: Option<MemberId>,
    fresh: Duration,
    limit: Duration,
) -> Result<(), HandoverError> {
    let target = target(raft, to, fresh)?;
    let wait = async {
        let mut metrics = raft.server_metrics();
        loop {
            if raft.trigger().transfer_leader(target).await.is_err() {
                return Err(HandoverError::NotLeader);
            }
            let changed = R::timeout(PAUSE, metrics.changed()).await;
            let (id, leader) = {
                let now = metrics.borrow_and_update();
                (now.id, now.current_leader)
            };
            match leader {
                Some(leader) if leader == target => return Ok(()),
                // Another one won the election.
                Some(leader) if leader != id => {
                    return if to.is_none() { Ok(()) } else { Err(HandoverError::TimedOut) };
                }
                _ if matches!(changed, Ok(Err(_))) => return Err(HandoverError::NotLeader),
                _ => {}
            }
        }
    };
    R::timeout(limit, wait).await.unwrap_or(Err(HandoverError::TimedOut))
}

fn target<S: StateMachine, R: Runtime, V: Vfs>(
    raft: &RaftHandle<S, R, V>,
    to: Option<MemberId>,
    fresh: Duration,
) -> Result<u64, HandoverError> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    if metrics.current_leader != Some(metrics.id) {
        return Err(HandoverError::NotLeader);
    }
    let now = <R as AsyncRuntime>::Instant::now();
    let has_answered = |id: &u64| {
        let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id).copied().flatten());
        heard.is_some_and(|heard| now.saturating_duration_since(heard.into_inner()) < fresh)
    };
    let matched =
        |id: &u64| metrics.replication.as_ref().and_then(|replication| replication.get(id).copied().flatten());
    let others = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id && has_answered(id));
    match to {
        Some(to) => others.into_iter().find(|id| *id == to.0).ok_or(HandoverError::BadTarget),
        None => others.max_by_key(matched).ok_or(HandoverError::BadTarget),
    }
}
