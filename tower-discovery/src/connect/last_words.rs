//! A byte stream that is read to its end although it cannot be written to any more.
//!
//! A server that ends says GOAWAY, with the last request that it looked at, and closes. A client that is about to write then is
//! told that the pipe is broken, and HTTP/2 gives up all requests at once, although the answer to what became of them lies
//! read by nobody in the socket's buffer. Here what is written after that is lost in silence, as it would be on the way,
//! and the end is what the reading side says: so a request that the server had not looked at is known to be one.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pin_project_lite::pin_project! {
    /// Passes everything on, until writing fails because the other side has closed.
    #[derive(Debug)]
    pub(super) struct LastWords<T> {
        #[pin]
        stream: T,
        is_cut: bool,
    }
}

impl<T> LastWords<T> {
    pub(super) fn new(stream: T) -> Self {
        Self { stream, is_cut: false }
    }
}

/// The other side has closed. What it said before can still be read, and then the end.
fn has_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl<T: AsyncRead> AsyncRead for LastWords<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite> LastWords<T> {
    /// The outcome of writing to the stream, or `lost` if that goes nowhere.
    fn write<R>(
        self: Pin<&mut Self>,
        lost: R,
        write: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let this = self.project();
        if *this.is_cut {
            return Poll::Ready(Ok(lost));
        }
        match ready!(write(this.stream)) {
            Err(error) if has_closed(&error) => {
                *this.is_cut = true;
                Poll::Ready(Ok(lost))
            }
            result => Poll::Ready(result),
        }
    }
}

impl<T: AsyncWrite> AsyncWrite for LastWords<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes.len(), |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = slices.iter().map(|slice| slice.len()).sum();
        self.write(all, |stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write((), |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write((), |stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    /// SETTINGS without any, and GOAWAY with 0 as the last stream that was looked at.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    /// A server that has said GOAWAY and closed by the time that the first request is written.
    #[derive(Debug, Default)]
    struct Closing {
        read: usize,
        written: usize,
        is_closed: bool,
        reader: Option<std::task::Waker>,
    }

    impl AsyncRead for Closing {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let said = [SETTINGS, GOAWAY].concat();
            let heard = if self.is_closed { said.len() } else { SETTINGS.len() };
            if self.read == heard && !self.is_closed {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            buffer.put_slice(&said[self.read..heard]);
            self.read = heard;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Closing {
        fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            // The preface, the settings and what acknowledges the server's come before any request.
            if self.written + bytes.len() > 100 {
                self.is_closed = true;
                self.reader.take().into_iter().for_each(std::task::Waker::wake);
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            self.written += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Whether the error of a request says that the server has not looked at it.
    async fn is_known_to_be_unseen<T>(stream: T) -> bool
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        tokio::task::yield_now().await;
        let request = Request::post("http://pay/ask").header("x-long", "x".repeat(200)).body(Empty::new()).unwrap();
        let error = sender.send_request(request).await.unwrap_err();
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<h2::Error>());
        cause.is_some_and(|error| error.is_go_away() && error.is_remote())
    }

    #[tokio::test]
    async fn g17_what_a_server_said_before_it_closed_is_heard_though_writing_failed_first() {
        assert!(is_known_to_be_unseen(LastWords::new(Closing::default())).await);
        assert!(!is_known_to_be_unseen(Closing::default()).await, "without it the request's fate is open");
    }
}
