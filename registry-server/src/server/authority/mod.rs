//! Requests whose `:authority` is none, which etcd's clients send: its 3.4 names whole URLs, 3.5.0 `#initially=[...]`.
//!
//! etcd takes anything there, as nobody reads it. The HTTP/2 library resets such a stream before anybody sees it. So this
//! stands between socket and library, and puts an authority of the same length in the place. The length matters: both
//! sides keep a table of earlier fields, and forget the oldest by what they take.
//!
//! A connection's client names one authority. So only what comes before the first good one is looked at, and nothing
//! is copied afterwards.

mod block;
mod huffman;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use block::{Found, look};

/// A frame's head: its length, kind, flags and stream.
const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// Larger frames are not allowed unless the server says so, and it does not.
const MAX_FRAME_BYTES: usize = 16 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;

/// A socket whose bytes are HTTP/2's behind the preface.
#[derive(Debug)]
pub(super) struct Acceptable<IO> {
    io: IO,
    frames: Option<Frames>,
    /// Looked at, and not taken yet.
    ready: Bytes,
}

impl<IO> Acceptable<IO> {
    /// Looks at what `io` brings if it is HTTP/2.
    pub(super) fn new(io: IO, is_http2: bool) -> Self {
        Self { io, frames: is_http2.then(Frames::default), ready: Bytes::new() }
    }
}

/// Frames that are looked at, as far as they have come.
#[derive(Debug, Default)]
struct Frames {
    waiting: BytesMut,
    /// What is left of a frame that is passed on as it is.
    left: usize,
    /// A good authority has come.
    is_done: bool,
}

impl Frames {
    /// Takes bytes, and gives those that can be passed on.
    fn pass(&mut self, bytes: &[u8]) -> Bytes {
        self.waiting.extend_from_slice(bytes);
        let mut passed = BytesMut::new();
        while !self.waiting.is_empty() {
            if self.is_done {
                passed.unsplit(std::mem::take(&mut self.waiting));
            } else if self.left > 0 {
                let take = self.left.min(self.waiting.len());
                self.left -= take;
                passed.unsplit(self.waiting.split_to(take));
            } else if !self.frame(&mut passed) {
                break;
            }
        }
        passed.freeze()
    }

    /// Looks at the next frame; false if it is not there yet.
    fn frame(&mut self, passed: &mut BytesMut) -> bool {
        let Some(head) = self.waiting.first_chunk::<HEAD_BYTES>() else { return false };
        let [a, b, c, kind, flags, ..] = *head;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind != HEADERS || len > MAX_FRAME_BYTES {
            self.left = HEAD_BYTES + len;
            return true;
        }
        if self.waiting.len() < HEAD_BYTES + len {
            return false;
        }
        let frame = self.waiting.split_to(HEAD_BYTES + len);
        match block_of(flags, &frame).map(|(begin, end)| (begin, look(&frame[begin..end]))) {
            Some((begin, Found::Malformed(place, authority))) => {
                let place = begin + place.start..begin + place.end;
                tracing::debug!("a client names an authority that is none; it is overlooked");
                passed.extend_from_slice(&replaced(&frame, place, &authority));
            }
            Some((_, Found::Fine)) | None => {
                self.is_done = true;
                passed.extend_from_slice(&frame);
            }
        }
        true
    }
}

/// Where the fields are in a frame of them; none if it makes no sense.
fn block_of(flags: u8, frame: &[u8]) -> Option<(usize, usize)> {
    let (mut begin, mut padding) = (HEAD_BYTES, 0);
    if flags & PADDED != 0 {
        padding = usize::from(*frame.get(begin)?);
        begin += 1;
    }
    if flags & PRIORITY != 0 {
        begin += 5;
    }
    let end = frame.len().checked_sub(padding)?;
    (begin <= end).then_some((begin, end))
}

/// The frame with another authority; as it was, if it would become too large.
fn replaced(frame: &[u8], place: std::ops::Range<usize>, authority: &[u8]) -> Vec<u8> {
    let mut replaced = frame.to_vec();
    replaced.splice(place, authority.iter().copied());
    let len = replaced.len() - HEAD_BYTES;
    if len > MAX_FRAME_BYTES {
        return frame.to_vec();
    }
    let [_, a, b, c] = (len as u32).to_be_bytes();
    replaced[..3].copy_from_slice(&[a, b, c]);
    replaced
}

impl<IO: Read + Unpin> Read for Acceptable<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let (Some(frames), true) = (&mut this.frames, this.ready.is_empty()) {
            if frames.is_done {
                this.frames = None;
                break;
            }
            let mut space = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.io).poll_read(cx, read.unfilled()))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.ready = frames.pass(read.filled());
        }
        if this.ready.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buffer);
        }
        let take = this.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.ready[..take]);
        this.ready.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl<IO: Write + Unpin> Write for Acceptable<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn named(authority: &str) -> Vec<u8> {
        [&[0x83, 0x41, authority.len() as u8], authority.as_bytes(), &[0x84]].concat()
    }

    /// What is passed on of frames that come in pieces of a size.
    fn passed(wire: &[u8], size: usize) -> Vec<u8> {
        let mut frames = Frames::default();
        wire.chunks(size).flat_map(|piece| frames.pass(piece)).collect()
    }

    #[test]
    fn only_the_malformed_authority_changes_however_the_frames_are_cut() {
        let (bad, good) = ("http://127.0.0.1:1", "xxxxxxxxxxxxxxxxxx");
        let padded = |authority| [&[3], &[0, 0, 0, 0, 9][..], &named(authority), &[0; 3]].concat();
        let wire = |authority| {
            let frames = [
                frame(4, 0, &[7; 12]),
                frame(HEADERS, 4, &named(authority)),
                frame(0, 1, b"http://data"),
                frame(HEADERS, 4 | PADDED | PRIORITY, &padded(authority)),
            ];
            frames.concat()
        };
        for size in [1, 2, 5, 9, 10, 30, 1000] {
            assert_eq!(passed(&wire(bad), size), wire(good), "in pieces of {size}");
        }
    }

    #[test]
    fn behind_a_good_authority_nothing_is_looked_at() {
        let wire = [frame(HEADERS, 4, &named("a:1")), frame(HEADERS, 4, &named("http://b"))].concat();
        for size in [1, 7, 1000] {
            assert_eq!(passed(&wire, size), wire);
        }
    }

    #[test]
    fn frames_that_make_no_sense_are_passed_on() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let len = rng.usize(0..60);
            let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            let wire = [frame(rng.u8(0..3), rng.u8(..), &payload), frame(6, 0, &[1; 8])].concat();
            let found = passed(&wire, rng.usize(1..30));
            // Whatever becomes of the first, the second follows.
            assert!(found.ends_with(&frame(6, 0, &[1; 8])));
        }
        let huge = [&[0xff, 0xff, 0xff, HEADERS, 4, 0, 0, 0, 1][..], &[0; 100]].concat();
        assert_eq!(passed(&huge, 8), huge);
    }
}
