//! An image that is being made, a batch at a time. All of it is blocking work.

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use tokio::sync::OwnedSemaphorePermit;

use super::contents::{Contents, Replaced};
use crate::bbolt::{ImageWriter, Layout};

/// Bytes of a message, as etcd sends them.
pub(super) const CHUNK_BYTES: usize = 32 << 10;
/// Bytes that are made at a time.
const BATCH_BYTES: usize = 1 << 20;

/// What is left to be made.
pub(super) struct Rendering {
    contents: Contents,
    image: ImageWriter,
    layout: Layout,
    digest: Context,
    /// Others may take a snapshot when this one is done.
    _place: OwnedSemaphorePermit,
}

/// What one step has made.
pub(super) enum Step {
    /// Whole chunks, and what makes the next.
    Batch(Bytes, Box<Rendering>),
    /// The last bytes, and the SHA-256 digest of all.
    Last(Bytes, Bytes),
}

/// Why an image is not finished.
#[derive(Debug, Clone, Copy)]
pub(super) enum RenderError {
    Replaced,
    /// The same entries came out otherwise than they were measured: a bug, and nothing may come of it.
    OtherLayout,
}

impl From<Replaced> for RenderError {
    fn from(Replaced: Replaced) -> Self {
        Self::Replaced
    }
}

impl Rendering {
    /// Measures the image.
    pub(super) fn begin(mut contents: Contents, place: OwnedSemaphorePermit) -> Result<Self, Replaced> {
        let mut image = ImageWriter::measure();
        while contents.feed(&mut image)? {}
        let (layout, _) = image.finish();
        contents.rewind();
        let digest = Context::new(&SHA256);
        Ok(Self { contents, image: ImageWriter::write(layout), layout, digest, _place: place })
    }

    /// The length of the whole image.
    pub(super) fn bytes(&self) -> u64 {
        self.layout.bytes()
    }

    /// Makes the next bytes.
    pub(super) fn step(mut self: Box<Self>) -> Result<Step, RenderError> {
        while self.image.ready_bytes() < BATCH_BYTES {
            if !self.contents.feed(&mut self.image)? {
                return self.finish();
            }
        }
        let batch = self.image.take(CHUNK_BYTES);
        self.digest.update(&batch);
        Ok(Step::Batch(batch, self))
    }

    fn finish(mut self) -> Result<Step, RenderError> {
        let (layout, rest) = self.image.finish();
        if layout != self.layout {
            return Err(RenderError::OtherLayout);
        }
        self.digest.update(&rest);
        let digest = Bytes::copy_from_slice(self.digest.finish().as_ref());
        Ok(Step::Last(rest, digest))
    }
}
