//! Expiry: leases whose time has come are revoked through the log.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use registry_proto::etcdserverpb::LeaseRevokeRequest;

use crate::apply::{ApplyError, Machine};
use crate::command::Command;
use crate::consensus::Node;
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::{LeaseId, Runtime};

/// Leases taken at once, and revocations under way at once: the batcher makes few entries of them.
const AT_ONCE: usize = 1_000;

/// Revokes what is due, for as long as the node runs.
pub(super) async fn expire_leases<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, keeper: Arc<Keeper<R>>) {
    loop {
        let due = keeper.due(AT_ONCE).await;
        // A leader that was stalled must not revoke what a new one has renewed.
        if node.read_barrier().await.is_err() {
            due.into_iter().for_each(|id| keeper.not_revoked(id));
            continue;
        }
        stream::iter(due).for_each_concurrent(AT_ONCE, |id| revoke(&node, &keeper, id)).await;
    }
}

async fn revoke<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, keeper: &Keeper<R>, id: LeaseId) {
    let command = Command::LeaseRevoke(LeaseRevokeRequest { id: id.0 });
    match node.propose(command.encode()).await {
        // Somebody else's revocation was faster: the lease is gone, which is all that was wanted.
        Ok(reply) if matches!(reply.outcome, Ok(_) | Err(ApplyError::LeaseNotFound)) => {
            tracing::debug!(lease = %id, "lease expired");
        }
        Ok(_) | Err(_) => keeper.not_revoked(id),
    }
}
