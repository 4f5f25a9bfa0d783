//! Leadership, as far as leases are concerned: whoever leads keeps their deadlines.

use std::sync::Arc;

use crate::apply::Machine;
use crate::consensus::Node;
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Tells the keeper when this node begins to lead, has caught up, and when it leads no more; for as long as the node runs.
pub(super) async fn lead_leases<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, keeper: Arc<Keeper<R>>) {
    node.while_running(async {
        let mut leading = None;
        while let Some(now) = node.leading_changes(leading).await {
            leading = now;
            match leading {
                Some(term) => keeper.lead(term),
                None => keeper.follow(),
            }
        }
    })
    .await;
}
