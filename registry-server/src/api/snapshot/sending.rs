//! A snapshot on its way to a client: chunks as the client takes them, then the digest.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use parking_lot::Mutex;
use registry_proto::etcdserverpb::SnapshotResponse;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::status::WireError;
use super::super::version::STORAGE_VERSION;
use super::rendering::{CHUNK_BYTES, RenderError, Rendering, Step};
use super::{replaced, resting};
use crate::types::Runtime;

/// How long a client may take for a batch, at least. Then what is left is dropped, before twice the time is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// The messages of a snapshot.
pub(super) type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

/// One snapshot and the client that takes it.
pub(super) struct Sending<R> {
    left: Arc<Mutex<Left>>,
    stop: CancellationToken,
    runtime: PhantomData<fn() -> R>,
}

/// What the client has yet to take. It lies apart from the stream, which is not asked while the client takes nothing.
struct Left {
    remaining_bytes: u64,
    ready: Bytes,
    /// How many batches were made.
    batches: u64,
    more: More,
}

/// What follows the bytes that are ready.
enum More {
    /// To be made.
    Pages(Box<Rendering>),
    /// Being made.
    Coming,
    /// Nothing but the digest.
    Digest(Bytes),
    /// Nothing: the digest was sent.
    Nothing,
    /// Dropped, because the client did not take it.
    Dropped,
}

impl<R: Runtime> Sending<R> {
    pub(super) fn begin(rendering: Box<Rendering>, stop: CancellationToken) -> SnapshotStream {
        let remaining_bytes = rendering.bytes();
        let left = Left { remaining_bytes, ready: Bytes::new(), batches: 0, more: More::Pages(rendering) };
        let left = Arc::new(Mutex::new(left));
        drop(R::spawn(drop_if_not_taken::<R>(Arc::downgrade(&left))));
        let sending = Self { left, stop, runtime: PhantomData };
        Box::pin(stream::unfold(Some(sending), |sending| async {
            let sending = sending?;
            match sending.next().await.transpose()? {
                Ok(message) => Some((Ok(message), Some(sending))),
                Err(status) => Some((Err(status), None)),
            }
        }))
    }

    async fn next(&self) -> Result<Option<SnapshotResponse>, Status> {
        loop {
            if self.stop.is_cancelled() {
                return Err(WireError::Stopped.into());
            }
            let mut rendering = match self.left.lock().next()? {
                Next::Message(message) => return Ok(Some(message)),
                Next::End => return Ok(None),
                Next::Render(rendering) => rendering,
            };
            let step = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(WireError::Stopped.into()),
                step = resting::<R, _>(move || (rendering.has_company(), rendering.step())) => step?,
            };
            self.left.lock().add(step.map_err(|error| status(&error))?);
        }
    }
}

enum Next {
    Message(SnapshotResponse),
    Render(Box<Rendering>),
    End,
}

impl Left {
    fn next(&mut self) -> Result<Next, Status> {
        if !self.ready.is_empty() {
            let blob = self.ready.split_to(CHUNK_BYTES.min(self.ready.len()));
            self.remaining_bytes -= blob.len() as u64;
            return Ok(Next::Message(message(blob, self.remaining_bytes)));
        }
        match std::mem::replace(&mut self.more, More::Coming) {
            More::Pages(rendering) => Ok(Next::Render(rendering)),
            More::Digest(digest) => {
                self.more = More::Nothing;
                tracing::info!("successfully sent database snapshot to client");
                Ok(Next::Message(message(digest, 0)))
            }
            More::Dropped => {
                let text = format!("the client took less than 256 KiB of the snapshot in {PATIENCE:?}: take it anew");
                Err(Status::aborted(text))
            }
            More::Coming | More::Nothing => Ok(Next::End),
        }
    }

    fn add(&mut self, step: Step) {
        self.batches += 1;
        (self.ready, self.more) = match step {
            Step::Batch(bytes, rendering) => (bytes, More::Pages(rendering)),
            Step::Last(bytes, digest) => (bytes, More::Digest(digest)),
        };
    }
}

/// Watches over one snapshot until it is over: whoever stops to take it must not hold memory and history for ever.
async fn drop_if_not_taken<R: Runtime>(left: Weak<Mutex<Left>>) {
    let mut batches = None;
    loop {
        R::sleep(PATIENCE).await;
        let Some(left) = left.upgrade() else { return };
        let mut left = left.lock();
        let is_taken = batches.replace(left.batches) != Some(left.batches);
        match left.more {
            More::Nothing | More::Dropped => return,
            // Making it is not the client's time.
            More::Coming => batches = None,
            More::Pages(_) | More::Digest(_) if is_taken => {}
            More::Pages(_) | More::Digest(_) => {
                (left.ready, left.more) = (Bytes::new(), More::Dropped);
                let remaining_bytes = left.remaining_bytes;
                tracing::warn!(remaining_bytes, "dropped a database snapshot that its client did not take");
                return;
            }
        }
    }
}

fn message(blob: Bytes, remaining_bytes: u64) -> SnapshotResponse {
    SnapshotResponse { header: None, remaining_bytes, blob, version: STORAGE_VERSION.to_owned() }
}

fn status(error: &RenderError) -> Status {
    match error {
        RenderError::Replaced => replaced(),
        RenderError::OtherLayout => Status::internal("the snapshot came out otherwise than it was measured"),
    }
}
