//! Measures now and then how long peers take to answer, for whoever watches the network between members.

use std::time::Duration;

use crate::apply::Machine;
use crate::consensus::Node;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Between two measurements, as in etcd.
const INTERVAL: Duration = Duration::from_secs(4);

/// Measures for as long as the node runs.
pub(super) async fn measure_round_trips<R: Runtime, V: Vfs>(node: Node<Machine, R, V>) {
    let measuring = async {
        loop {
            R::sleep(INTERVAL).await;
            node.measure_peers().await;
        }
    };
    node.while_running(measuring).await;
}
