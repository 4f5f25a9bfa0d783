//! A socket that gathers what is written to it and sends it in few system calls.
//!
//! HTTP/2 flushes after every data frame of 256 bytes or more: a range of 1,000 keys took 18.7 system
//! calls, and takes 1.6 through a cork. Writes go into a buffer, a flush sends nothing, and
//! [`UncorkingConnection`] empties the buffer each time the connection has been polled.
//!
//! What always holds: when the connection waits, either the buffer is empty or the socket is to wake the
//! task as soon as it takes more, what TLS has taken and not sent yet included; and when the connection has
//! ended, everything written was sent, unless the other side took too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use parking_lot::Mutex;
use pin_project_lite::pin_project;

use super::pings::Activity;
use crate::http::gateway::Departure;

/// At this many waiting bytes a write sends before it gathers more, so this bounds a slow reader's buffer
/// (together with one write, which HTTP/2 keeps to a frame).
const DRAIN_BYTES: usize = 256 * 1024;
/// An emptied buffer larger than this is given back: most connections are idle most of the time.
const KEEP_BYTES: usize = 16 * 1024;
/// How long the other side may take for the last bytes after the connection has ended.
const LAST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);
/// How much is read ahead of HTTP/1 to see whether the client is still there.
const AHEAD_BYTES: usize = 1024;

/// The connection's half of a corked socket.
#[derive(Debug)]
pub(super) struct Corked<IO>(Arc<Mutex<Cork<IO>>>);

/// What both halves share. One task owns both, so the lock is always free; it only makes the two handles
/// fit to move between threads together.
#[derive(Debug)]
struct Cork<IO> {
    io: IO,
    /// Bytes that were read to tell the protocol, or to see whether the client is there, and are to be read again.
    head: Bytes,
    waiting: BytesMut,
    /// What is to be said last, of a connection that may have to end; none once it was said.
    activity: Option<Activity>,
}

impl<IO> Corked<IO> {
    /// Corks `io`; `head` is read before anything else.
    pub(super) fn new(io: IO, head: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Cork { io, head, waiting: BytesMut::new(), activity: None })))
    }

    /// The same, which says goodbye where `activity` has it.
    pub(super) fn with_goodbye(self, activity: Activity) -> Self {
        self.0.lock().activity = Some(activity);
        self
    }

    /// The handle that empties the buffer.
    pub(super) fn cork(&self) -> CorkHandle<IO> {
        CorkHandle(Arc::clone(&self.0))
    }
}

/// The half that [`UncorkingConnection`] holds.
#[derive(Debug)]
pub(super) struct CorkHandle<IO>(Arc<Mutex<Cork<IO>>>);

impl<IO: Write + Unpin> Cork<IO> {
    /// Sends until nothing waits, or until the socket takes no more.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting.has_remaining() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(sent);
        }
        if self.waiting.capacity() > KEEP_BYTES {
            self.waiting = BytesMut::new();
        }
        // TLS takes bytes and keeps them until the socket takes more; a plain socket has nothing to flush.
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Makes room for one more write.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() < DRAIN_BYTES {
            return Poll::Ready(Ok(()));
        }
        match self.poll_drain(cx)? {
            // Half a drain is room, too: the socket wakes the task for the rest.
            Poll::Pending if self.waiting.len() >= DRAIN_BYTES => Poll::Pending,
            Poll::Pending | Poll::Ready(()) => Poll::Ready(Ok(())),
        }
    }
}

impl<IO: Read + Unpin> Cork<IO> {
    /// Reads ahead while somebody asks whether the client is still there. What comes waits for HTTP/1, and nothing more is
    /// read before that was taken.
    fn look_for_departure(&mut self, departure: &Departure, cx: &mut Context<'_>) {
        if !departure.is_asked() || self.head.has_remaining() {
            return;
        }
        let mut space = [0; AHEAD_BYTES];
        let mut ahead = ReadBuf::new(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, ahead.unfilled()) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !ahead.filled().is_empty() => {
                self.head = Bytes::copy_from_slice(ahead.filled());
                // HTTP/1 may be waiting for just that.
                cx.waker().wake_by_ref();
            }
            Poll::Ready(_) => departure.tell(),
        }
    }
}

impl<IO: Read + Unpin> Read for Corked<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut cork = self.0.lock();
        if cork.head.has_remaining() {
            let len = cork.head.len().min(buffer.remaining());
            buffer.put_slice(&cork.head.split_to(len));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut cork.io).poll_read(cx, buffer)
    }
}

impl<IO: Write + Unpin> Write for Corked<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut cork = self.0.lock();
        ready!(cork.poll_room(cx))?;
        cork.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut cork = self.0.lock();
        ready!(cork.poll_room(cx))?;
        let mut written = 0;
        for slice in slices {
            cork.waiting.extend_from_slice(slice);
            written += slice.len();
            if cork.waiting.len() >= DRAIN_BYTES {
                break;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// HTTP/2 flushes when it has written all frames that it had, so here a frame of another can stand.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cork = self.0.lock();
        if let Some(goodbye) = cork.activity.as_ref().and_then(Activity::goodbye) {
            cork.waiting.extend_from_slice(&goodbye);
            cork.activity = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cork = self.0.lock();
        ready!(cork.poll_drain(cx))?;
        ready!(Pin::new(&mut cork.io).poll_flush(cx))?;
        Pin::new(&mut cork.io).poll_shutdown(cx)
    }
}

pin_project! {
    /// A connection over a corked socket: polls it, then empties the buffer.
    pub(super) struct UncorkingConnection<C, IO> {
        #[pin]
        connection: Option<C>,
        cork: CorkHandle<IO>,
        departure: Option<Departure>,
        #[pin]
        last_bytes: Option<tokio::time::Sleep>,
    }
}

impl<C, IO> UncorkingConnection<C, IO> {
    /// `connection` must own the [`Corked`] that `cork` came from.
    pub(super) fn new(connection: C, cork: CorkHandle<IO>) -> Self {
        Self { connection: Some(connection), cork, departure: None, last_bytes: None }
    }

    /// The same, which looks whether the client is still there when `departure` asks.
    pub(super) fn with_departure(self, departure: Departure) -> Self {
        Self { departure: Some(departure), ..self }
    }

    /// The connection, until it has ended.
    pub(super) fn connection(self: Pin<&mut Self>) -> Option<Pin<&mut C>> {
        self.project().connection.as_pin_mut()
    }
}

impl<C, IO, E> Future for UncorkingConnection<C, IO>
where
    C: Future<Output = Result<(), E>>,
    IO: Read + Write + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(connection) = this.connection.as_mut().as_pin_mut() {
            if connection.poll(cx).is_pending() {
                let mut cork = this.cork.0.lock();
                if let Some(departure) = this.departure {
                    cork.look_for_departure(departure, cx);
                }
                return match cork.poll_drain(cx) {
                    // The other side is gone; dropping the connection ends its requests.
                    Poll::Ready(Err(_)) => Poll::Ready(()),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                };
            }
            // It ended, well or not: its last frame says why, so that one is still to be sent.
            this.connection.set(None);
            this.last_bytes.set(Some(tokio::time::sleep(LAST_BYTES_TIMEOUT)));
        }
        if this.cork.0.lock().poll_drain(cx).is_ready() {
            return Poll::Ready(());
        }
        this.last_bytes.as_pin_mut().map_or(Poll::Ready(()), |timeout| timeout.poll(cx))
    }
}

#[cfg(test)]
#[path = "corked_tests.rs"]
mod tests;
