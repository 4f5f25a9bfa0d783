//! How often a client may ask whether this server is alive: `--grpc-keepalive-min-time`, as gRPC for Go enforces it.
//!
//! The HTTP/2 library answers pings and tells nobody, so the frames are looked at on their way, in and out: nine bytes of
//! each, nothing is copied. Pings that come too early are strikes. Too early is below the bound while a call is under way, and
//! below two hours while none is; each frame with something of a call that goes to the socket takes the strikes back, because
//! clients measure a connection by pings while an answer comes in. At the third strike the client gets a GOAWAY with
//! ENHANCE_YOUR_CALM and `too_many_pings`, which gRPC's libraries know, and its connection ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The bound while no call is under way.
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// So many strikes are borne.
const STRIKES: u32 = 2;
/// How long a client that was told to go may take for it, so that it gets to read why.
const PARTING: Duration = Duration::from_secs(1);
/// The bytes before a frame's payload, and its types and flags as far as they count here.
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const ACK: u8 = 1;
/// The error of the GOAWAY, and its words.
const ENHANCE_YOUR_CALM: u8 = 11;
const TOO_MANY_PINGS: &[u8; 14] = b"too_many_pings";

/// What is known of a connection on all its ways. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Calls under way.
    calls: AtomicUsize,
    /// The client has to go.
    is_over: AtomicBool,
    /// The last call that the client has begun.
    last_stream: AtomicU32,
}

/// One call under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Activity {
    /// One more call.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// What the client has to be told last, if it has to go.
    pub(super) fn goodbye(&self) -> Option<[u8; HEAD_BYTES + 8 + TOO_MANY_PINGS.len()]> {
        if !self.0.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let mut frame = [0; HEAD_BYTES + 8 + TOO_MANY_PINGS.len()];
        frame[2] = 8 + TOO_MANY_PINGS.len() as u8;
        frame[3] = 7;
        frame[HEAD_BYTES..][..4].copy_from_slice(&self.0.last_stream.load(Ordering::Relaxed).to_be_bytes());
        frame[HEAD_BYTES + 7] = ENHANCE_YOUR_CALM;
        frame[HEAD_BYTES + 8..].copy_from_slice(TOO_MANY_PINGS);
        Some(frame)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket behind HTTP/2's preface, whose frames are looked at while they are read and written.
#[derive(Debug)]
pub(super) struct Watched<IO> {
    io: IO,
    activity: Activity,
    received: Frames,
    sent: Frames,
    /// Something of a call was sent since the last ping.
    has_sent: bool,
    patience: Patience,
    /// Runs while the client is waited for to go.
    parting: Option<Pin<Box<Sleep>>>,
}

/// What is borne of pings.
#[derive(Debug)]
struct Patience {
    min_time: Duration,
    last: Option<Instant>,
    strikes: u32,
}

impl<IO> Watched<IO> {
    /// Watches what is read of `io` and written to it. Pings may come each `min_time`; with zero they are not counted.
    pub(super) fn new(io: IO, min_time: Duration, activity: Activity) -> Self {
        let patience = Patience { min_time, last: None, strikes: 0 };
        let (received, sent) = (Frames::default(), Frames::default());
        Self { io, activity, received, sent, has_sent: false, patience, parting: None }
    }

    /// Looks at what came.
    fn look_at(&mut self, bytes: &[u8]) {
        let Self { activity: Activity(shared), received, has_sent, patience, .. } = self;
        received.pass(bytes, |kind, flags, stream| match kind {
            HEADERS => drop(shared.last_stream.fetch_max(stream, Ordering::Relaxed)),
            PING if flags & ACK == 0 => {
                let is_idle = shared.calls.load(Ordering::Relaxed) == 0;
                if !patience.bears(Instant::now(), std::mem::take(has_sent), is_idle) {
                    shared.is_over.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        });
    }

    /// Looks at what the socket has taken.
    fn look_at_sent(&mut self, bytes: &[u8]) {
        if self.patience.min_time.is_zero() {
            return;
        }
        let Self { sent, has_sent, .. } = self;
        sent.pass(bytes, |kind, _, _| *has_sent |= matches!(kind, DATA | HEADERS));
    }
}

impl Patience {
    /// Whether a ping is borne.
    fn bears(&mut self, now: Instant, has_sent: bool, is_idle: bool) -> bool {
        let last = self.last.replace(now);
        if has_sent {
            self.strikes = 0;
            return true;
        }
        let bound = if is_idle { IDLE } else { self.min_time };
        if last.is_some_and(|last| now.saturating_duration_since(last) < bound) {
            self.strikes += 1;
        }
        self.strikes <= STRIKES
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.activity.0.is_over.load(Ordering::Relaxed) {
            return this.poll_parting(cx);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        if !this.patience.min_time.is_zero() {
            this.look_at(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> Watched<IO> {
    /// Reads for nobody until the client has gone, or has had its time; then nothing more comes.
    fn poll_parting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let parting = self.parting.get_or_insert_with(|| Box::pin(sleep(PARTING)));
        if parting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.look_at_sent(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        let mut left = taken;
        for slice in slices {
            let seen = left.min(slice.len());
            self.look_at_sent(&slice[..seen]);
            left -= seen;
        }
        Poll::Ready(Ok(taken))
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

/// Where in the sequence of frames a connection is.
#[derive(Debug, Default)]
struct Frames {
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// What the frame's payload still lacks.
    left: usize,
}

impl Frames {
    /// Tells type, flags and stream of each frame whose head ends in `bytes`.
    fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(u8, u8, u32)) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.head_len).min(bytes.len());
            self.head[self.head_len..self.head_len + taken].copy_from_slice(&bytes[..taken]);
            self.head_len += taken;
            bytes = &bytes[taken..];
            if self.head_len == HEAD_BYTES {
                let [a, b, c, kind, flags, stream @ ..] = self.head;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.head_len = 0;
                found(kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut wire = Vec::new();
        for (length, kind, stream) in [(0_u8, 4, 0), (8, PING, 0), (200, 0, 1), (0, HEADERS, 3), (8, PING, 0)] {
            wire.extend_from_slice(&[0, 0, length, kind, 0, 0, 0, 0, stream]);
            wire.extend(std::iter::repeat_n(PING, usize::from(length)));
        }
        for size in [1, 2, 8, 9, 10, 100, wire.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in wire.chunks(size) {
                frames.pass(piece, |kind, _, stream| seen.push((kind, stream)));
            }
            assert_eq!(seen, [(4, 0), (PING, 0), (0, 1), (HEADERS, 3), (PING, 0)], "in pieces of {size}");
        }
    }

    #[test]
    fn strikes_are_counted_as_grpc_for_go_counts_them() {
        let begin = Instant::now();
        let asked = |pings: &[(u64, bool, bool)]| {
            let mut patience = Patience { min_time: Duration::from_secs(5), last: None, strikes: 0 };
            let mut bears =
                |(second, has_sent, is_idle)| patience.bears(begin + Duration::from_secs(second), has_sent, is_idle);
            pings.iter().map(|ping| bears(*ping)).collect::<Vec<_>>()
        };
        let busy = |second| (second, false, false);
        assert_eq!(asked(&[busy(0), busy(1), busy(2), busy(3)]), [true, true, true, false]);
        assert_eq!(asked(&[busy(0), busy(5), busy(10), busy(15), busy(20)]), [true; 5]);
        // With nothing under way a ping a minute is too often; what is sent in between excuses it.
        let idle = |minute: u64, has_sent| (minute * 60, has_sent, true);
        assert_eq!(asked(&[idle(0, false), idle(1, false), idle(2, false), idle(3, false)]), [true, true, true, false]);
        let excused = [idle(0, false), idle(1, false), idle(2, false), idle(3, true), idle(4, false), idle(5, false)];
        assert_eq!(asked(&excused), [true; 6]);
        assert_eq!(asked(&[idle(0, false), idle(120, false), idle(240, false), idle(360, false)]), [true; 4]);
    }

    /// As much of an answer as one flow-control window allows, while pings measure the connection.
    #[tokio::test]
    async fn each_frame_of_a_call_that_is_sent_excuses_a_ping() {
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], b"pingpong"].concat();
        let frame = |kind: u8| [&[0, 0, 4, kind, 0, 0, 0, 0, 1][..], b"data"].concat();
        for (kind, is_excused) in [(DATA, true), (HEADERS, true), (PING, false)] {
            let (mut client, server) = tokio::io::duplex(1024);
            let activity = Activity::default();
            let _call = activity.begin();
            let mut watched = Watched::new(server, Duration::from_secs(5), activity.clone());
            for _ in 0..10 {
                // In two pieces, as a socket may take it.
                for piece in frame(kind).chunks(5) {
                    watched.write_all(piece).await.unwrap();
                }
                client.write_all(&ping).await.unwrap();
                let mut read = vec![0; ping.len()];
                if watched.read_exact(&mut read).await.is_err() || activity.goodbye().is_some() {
                    break;
                }
            }
            assert_eq!(activity.goodbye().is_none(), is_excused, "frames of type {kind}");
        }
    }

    #[test]
    fn the_goodbye_is_a_frame_that_names_the_last_call() {
        let activity = Activity::default();
        assert_eq!(activity.goodbye(), None);
        activity.0.is_over.store(true, Ordering::Relaxed);
        activity.0.last_stream.store(5, Ordering::Relaxed);
        let frame = activity.goodbye().unwrap();
        assert_eq!(frame[..HEAD_BYTES], [0, 0, 22, 7, 0, 0, 0, 0, 0]);
        assert_eq!(frame[HEAD_BYTES..][..8], [0, 0, 0, 5, 0, 0, 0, 11]);
        assert_eq!(&frame[HEAD_BYTES + 8..], b"too_many_pings");
    }
}
