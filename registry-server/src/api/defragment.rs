//! Defragment: memory and disk that hold garbage are given back, while everything goes on.
//!
//! etcd copies its file into a new one and answers nobody meanwhile. Here the chunks of the store that have garbage in them are
//! rewritten one by one, between entries, as compaction does it; then a snapshot is asked for, behind which the log and
//! older snapshots go, unless there is next to nothing to be given back. The call ends when the memory is given back; the
//! snapshot is written after that.

use tonic::Status;

use super::backend::Backend;
use super::status::WireError;
use crate::storage::Vfs;
use crate::types::Runtime;

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// Gives back what garbage takes; returns when the memory is.
    ///
    /// # Errors
    /// When the node stops first.
    pub async fn defragment(&self) -> Result<(), Status> {
        let before = self.state.size_bytes();
        tracing::info!(size = before, "starting defragment");
        let mut is_done = false;
        let work = async {
            self.state.defragmentation.run().await;
            is_done = true;
        };
        self.node.while_running(work).await;
        if !is_done {
            return Err(WireError::Stopped.into());
        }
        let after = self.state.size_bytes();
        self.node.give_back_disk(after);
        tracing::info!(before, after, "finished defragment");
        Ok(())
    }
}
