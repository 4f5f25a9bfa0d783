//! Expiry: leases whose time has come are revoked through the log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use registry_proto::etcdserverpb::LeaseRevokeRequest;

use crate::apply::Machine;
use crate::command::Command;
use crate::consensus::{Node, ProposeError};
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::{LeaseId, Runtime};

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
            due.into_iter().for_each(|id| keeper.not_revoked(id));
            continue;
        }
        stream::iter(due).for_each_concurrent(AT_ONCE, |id| revoke(node, keeper, id)).await;
    }
}

/// Proposes until the outcome is known. While it is not, the lease counts as being revoked: a keep-alive
/// that was answered must never be followed by a revocation that was on its way before it.
async fn revoke<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, keeper: &Keeper<R>, id: LeaseId) {
    let command = Command::LeaseRevoke(LeaseRevokeRequest { id: id.0 }).encode();
    loop {
        match node.propose(command.clone()).await {
            // Applying it, or finding the lease gone already, told the keeper.
            Ok(_) => return tracing::debug!(lease = %id, "lease expired"),
            Err(
                ProposeError::TooManyRequests | ProposeError::TooLarge | ProposeError::NoLeader | ProposeError::NoSpace,
            ) => {
                return keeper.not_revoked(id);
            }
            Err(ProposeError::TimedOut | ProposeError::LeaderChanged) => R::sleep(PAUSE).await,
            Err(ProposeError::Stopped) => return,
        }
    }
}
