//! Checkpoints: what remains of leases that nobody keeps alive is recorded in the log, so that a restart
//! does not give them their whole TTL again.

use std::sync::Arc;
use std::time::Duration;

use crate::apply::Machine;
use crate::command::{Command, LeaseCheckpoint, LeaseCheckpoints};
use crate::consensus::{Node, ProposeError};
use crate::lease::{Checkpoint, Keeper};
use crate::storage::Vfs;
use crate::types::Runtime;

/// Checkpoints in one command.
const AT_ONCE: usize = 1_000;
/// Between two looks at what is due.
const PAUSE: Duration = Duration::from_millis(500);

/// Records what is due, for as long as the node runs.
pub(super) async fn record_leases<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, keeper: Arc<Keeper<R>>) {
    node.while_running(record_all(&node, &keeper)).await;
}

async fn record_all<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, keeper: &Keeper<R>) {
    loop {
        R::sleep(PAUSE).await;
        while let Some((term, due, more)) = keeper.take_checkpoints(AT_ONCE) {
            if !due.is_empty() {
                let is_known = record(node, term, &due).await;
                keeper.checkpoints_ended(term, &due, is_known);
            }
            if !more {
                break;
            }
        }
    }
}

/// True once the outcome is known, whatever it is: applying it told the keeper.
async fn record<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, term: u64, due: &[Checkpoint]) -> bool {
    // A leader that was stalled must not record less than what a new one has granted since.
    if node.confirm_leading().await != Ok(term) {
        return true;
    }
    let checkpoints = due.iter().map(|due| LeaseCheckpoint::of(due.grant, due.remaining_seconds)).collect();
    let command = Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints, term });
    match node.propose(command.encode()).await {
        Err(ProposeError::TimedOut | ProposeError::LeaderChanged | ProposeError::Stopped) => false,
        // Done, or refused before anything happened.
        Ok(_) | Err(_) => true,
    }
}
