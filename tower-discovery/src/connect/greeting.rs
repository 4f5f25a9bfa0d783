//! A byte stream that tells when the other side has said its first word.
//!
//! An HTTP/2 server speaks first (its settings), so a process that accepts connections but does not serve
//! them, as one that is stopped, is found out before a request goes there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

pin_project_lite::pin_project! {
    /// Passes everything on, and tells once that something was read.
    #[derive(Debug)]
    pub(super) struct Greeting<T> {
        #[pin]
        stream: T,
        heard: Option<oneshot::Sender<()>>,
    }
}

impl<T> Greeting<T> {
    /// The stream, and what resolves at the first byte, or fails if the stream is dropped before.
    pub(super) fn new(stream: T) -> (Self, oneshot::Receiver<()>) {
        let (heard, greeted) = oneshot::channel();
        (Self { stream, heard: Some(heard) }, greeted)
    }
}

impl<T: AsyncRead> AsyncRead for Greeting<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        let result = ready!(this.stream.poll_read(cx, buffer));
        if buffer.filled().len() > before
            && let Some(heard) = this.heard.take()
        {
            // Nobody waits any more: the attempt to connect was given up.
            let _unheard = heard.send(());
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite> AsyncWrite for Greeting<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}
