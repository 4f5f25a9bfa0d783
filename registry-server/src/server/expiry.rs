//! Expiry: leases whose time has come are revoked through the log.

use std::sync::Arc;
use std::time::Duration;

use crate::apply::Machine;
use crate::command::{Command, LeaseExpiry};
use crate::consensus::{Node, ProposeError};
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::{Grant, Runtime};
use futures_util::{StreamExt, stream};

/// Leases taken at once, and revocations under way at once: the batcher makes few entries of them.
const AT_ONCE: usize = 1_000;
/// Between proposals whose outcome is unknown.
const PAUSE: Duration = Duration::from_millis(500);

/// Revokes what is due, for as long as the node runs.
pub(super) async fn expire_leases<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, keeper: Arc<Keeper<R>>) {
    node.while_running(expire(&node, &keeper)).await;
}

async fn expire<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, keeper: &Keeper<R>) {
    loop {
        let due = keeper.due(AT_ONCE).await;
        // A leader that was stalled must not revoke what a new one has renewed.
        if node.read_barrier().await.is_err() {
            due.into_iter().for_each(|grant| keeper.not_revoked(grant));
            continue;
        }
        stream::iter(due).for_each_concurrent(AT_ONCE, |grant| revoke(node, keeper, grant)).await;
    }
}

/// Proposes until the outcome is known. While it is not, the lease counts as being revoked: a keep-alive
/// that was answered must never be followed by a revocation that was on its way before it.
async fn revoke<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, keeper: &Keeper<R>, grant: Grant) {
    let command = Command::LeaseExpire(LeaseExpiry::from(grant)).encode();
    loop {
        match node.propose(command.clone()).await {
            // Applying it, or finding the lease gone already, told the keeper.
            Ok(_) => {
                keeper.note_expired();
                return tracing::debug!(lease = %grant.id, "lease expired");
            }
            Err(
                ProposeError::TooManyRequests | ProposeError::TooLarge | ProposeError::NoLeader | ProposeError::NoSpace,
            ) => {
                return keeper.not_revoked(grant);
            }
            Err(ProposeError::TimedOut | ProposeError::LeaderChanged) => R::sleep(PAUSE).await,
            Err(ProposeError::Stopped) => return,
        }
    }
}
