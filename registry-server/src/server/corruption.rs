//! The leader looks now and then whether all members hold the same.
//!
//! A bug, or a disk that lies, can make a member differ without an error anywhere. The longer it goes on, the more
//! answers are wrong, so it is looked for, and nothing is changed any more once it was found.

use std::time::Duration;

use crate::api::{Comparison, SharedBackend};
use crate::storage::Vfs;
use crate::types::Runtime;

/// Compares the members every so often for as long as the node runs, while it leads; never if the interval is zero.
pub(super) async fn look_for_corruption<R: Runtime, V: Vfs>(backend: SharedBackend<R, V>, every: Duration) {
    if every.is_zero() {
        return;
    }
    let looking = async {
        loop {
            R::sleep(every).await;
            let has_others = backend.node.membership().members.len() > 1;
            if has_others && backend.node.status().leader == Some(backend.member) {
                tell(backend.compare_members().await);
            }
        }
    };
    backend.node.while_running(looking).await;
}

fn tell(outcome: Result<Comparison, tonic::Status>) {
    match outcome {
        Ok(Comparison { revision, compared, left_out, corrupt }) if corrupt.is_empty() => {
            tracing::info!(%revision, compared, left_out, "all members that were compared hold the same");
        }
        // Its alarm was logged.
        Ok(_) => {}
        Err(status) => {
            tracing::warn!(error = status.message(), "the members were not compared; they will be next time");
        }
    }
}
