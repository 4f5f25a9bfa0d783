//! The Snapshot call: the state at one revision as an image that etcd's tools check, hash and restore, and etcd starts
//! from.
//!
//! [`contents`] is a cut of the state, bucket by bucket; [`schema`] knows what etcd keeps in which; [`rendering`] makes
//! pages of them, a megabyte at a time and on a thread for blocking work, whenever the client has taken the one
//! before; [`sending`] hands them out. So no thread waits for a client, and a snapshot takes the same memory whatever its size:
//! the megabyte, and 24 bytes for each lease. Meanwhile the store keeps the history that the cut needs.
//!
//! Bounds: four snapshots at a time, more are refused with `too many requests`; and a client has to take each
//! megabyte within a minute, or what is left of the snapshot is dropped before the second is over, with its memory and
//! its hold on history.

mod contents;
mod rendering;
mod schema;
mod sending;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::contents::{Applied, Contents, Replaced};
use self::rendering::Rendering;
use self::sending::{Sending, SnapshotStream};
use super::backend::Backend;
use super::status::WireError;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Snapshots at a time: each reads the whole store, on a core of its own if the client is fast.
const AT_A_TIME: usize = 4;

/// The snapshots that clients take.
pub(super) struct Snapshots {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Snapshots {
    /// Snapshots end when `stop` is cancelled.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)), stop }
    }

    /// Cuts and measures the state, and begins to send it.
    pub(super) async fn begin<R: Runtime, V: Vfs>(&self, backend: &Backend<R, V>) -> Result<SnapshotStream, Status> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| WireError::TooManyRequests)?;
        // The index first: the state has that entry then, and may have more.
        let raft = backend.node.status();
        let applied = Applied { index: raft.applied_index, term: raft.term };
        let state = backend.state.clone();
        let measure = R::spawn_blocking(move || Rendering::begin(Contents::cut(&state, applied), place));
        let measured = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(WireError::Stopped.into()),
            measured = measure => measured.map_err(|_| ended())?,
        };
        let rendering = measured.map_err(|Replaced| replaced())?;
        tracing::info!(bytes = rendering.bytes(), "sending database snapshot to client");
        Ok(Sending::<R>::begin(rendering, self.stop.clone()))
    }
}

/// A job that ended without a word, which is a bug.
fn ended() -> Status {
    Status::internal("making the snapshot ended without an answer")
}

fn replaced() -> Status {
    Status::unavailable("the member was sent the leader's state while the snapshot was made: take it anew")
}
