//! An image that is being made, a batch at a time. All of it is blocking work.

use bytes::Bytes;
use registry_etcd_files::bbolt::{ImageWriter, Layout};
use ring::digest::{Context, SHA256};
use tokio::sync::OwnedSemaphorePermit;

use super::contents::{Contents, Replaced};

/// Bytes of a message, as etcd sends them.
pub(super) const CHUNK_BYTES: usize = 32 << 10;
/// Bytes that are made at a time, and then sent in a burst. Whoever puts meanwhile waits for so much at the worst: with a
/// megabyte the p99 of puts beside a snapshot was 2.3 ms, with this 0.9, alone 0.6; 280 MB took 2.2 s, not 1.9.
const BATCH_BYTES: usize = 256 << 10;
/// Pieces that are measured at a time: about as much work.
const MEASURED_PIECES: usize = 2;

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

/// What one step of measuring has come to.
pub(super) enum Measure {
    More(Box<Measuring>),
    Done(Box<Rendering>),
}

/// An image whose pages are counted, which has to come first: the first of them tell where the last are.
pub(super) struct Measuring {
    contents: Contents,
    image: ImageWriter,
    place: OwnedSemaphorePermit,
}

impl Measuring {
    pub(super) fn begin(contents: Contents, place: OwnedSemaphorePermit) -> Box<Self> {
        Box::new(Self { contents, image: ImageWriter::measure(), place })
    }

    /// Whether anything was written to the store since it was asked last.
    pub(super) fn has_company(&mut self) -> bool {
        self.contents.has_company()
    }

    /// Measures some more.
    pub(super) fn step(mut self: Box<Self>) -> Result<Measure, Replaced> {
        for _ in 0..MEASURED_PIECES {
            if !self.contents.feed(&mut self.image)? {
                return Ok(Measure::Done(Box::new(self.finish())));
            }
        }
        Ok(Measure::More(self))
    }

    fn finish(mut self) -> Rendering {
        let (layout, _) = self.image.finish();
        self.contents.rewind();
        let (digest, image) = (Context::new(&SHA256), ImageWriter::write(layout));
        Rendering { contents: self.contents, image, layout, digest, _place: self.place }
    }
}

impl Rendering {
    /// As [`Measuring::has_company`].
    pub(super) fn has_company(&mut self) -> bool {
        self.contents.has_company()
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
