//! The Snapshot call: the state at one revision as an image that etcd's tools check, hash and restore, and etcd starts
//! from.
//!
//! [`contents`] is a cut of the state, bucket by bucket; [`schema`] knows what etcd keeps in which; [`rendering`] makes
//! pages of them, 256 KiB at a time and on a thread for blocking work, whenever the client has taken the one
//! before; [`sending`] hands them out. So no thread waits for a client, and a snapshot takes the same memory whatever its size:
//! the 256 KiB, and 24 bytes for each lease. Meanwhile the store keeps the history that the cut needs.
//!
//! Bounds: four snapshots at a time, more are refused with `too many requests`; and a client has to take each
//! 256 KiB within a minute, or what is left of the snapshot is dropped before the second is over, with its memory and
//! its hold on history.

mod contents;
mod rendering;
mod schema;
mod sending;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use openraft::async_runtime::Instant as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::contents::{Applied, Contents, Replaced};
use self::rendering::{Measure, Measuring, Rendering};
use self::sending::{Sending, SnapshotStream};
use super::backend::Backend;
use super::status::WireError;
use crate::apply::State;
use crate::storage::Vfs;
use crate::types::Runtime;

/// Snapshots at a time: each reads the whole store, on a core of its own if the client is fast.
const AT_A_TIME: usize = 4;

/// How many times as long as a piece of work took the snapshot rests after it, beside writers.
const REST: u32 = 4;

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
        let rendering = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(WireError::Stopped.into()),
            measured = measured::<R>(state, applied, place) => measured?,
        };
        tracing::info!(bytes = rendering.bytes(), "sending database snapshot to client");
        Ok(Sending::<R>::begin(rendering, self.stop.clone()))
    }
}

/// The image, cut and measured.
async fn measured<R: Runtime>(
    state: Arc<State>,
    applied: Applied,
    place: OwnedSemaphorePermit,
) -> Result<Box<Rendering>, Status> {
    let begin = move || Measuring::begin(Contents::cut(&state, applied), place);
    let mut measuring = R::spawn_blocking(begin).await.map_err(|_| ended())?;
    loop {
        let step = resting::<R, _>(move || (measuring.has_company(), measuring.step())).await?;
        match step.map_err(|Replaced| replaced())? {
            Measure::More(more) => measuring = more,
            Measure::Done(rendering) => return Ok(rendering),
        }
    }
}

/// Does a piece of the work, and rests for a few times as long if the store was written to since the last one: whoever takes
/// a snapshot can wait, while those who put need the core.
async fn resting<R: Runtime, T: Send + 'static>(
    piece: impl FnOnce() -> (bool, T) + Send + 'static,
) -> Result<T, Status> {
    let begun = R::Instant::now();
    let (has_company, done) = R::spawn_blocking(piece).await.map_err(|_| ended())?;
    if has_company {
        R::sleep(begun.elapsed() * REST).await;
    }
    Ok(done)
}

/// A job that ended without a word, which is a bug.
fn ended() -> Status {
    Status::internal("making the snapshot ended without an answer")
}

fn replaced() -> Status {
    Status::unavailable("the member was sent the leader's state while the snapshot was made: take it anew")
}
