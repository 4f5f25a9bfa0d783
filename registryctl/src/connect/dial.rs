//! Opens the wire to an endpoint, and notes what comes back over it first: who speaks plainly to a port of TLS is only told
//! by an alert, or by a connection that is ended without a word, and neither reaches the errors of HTTP/2.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tower_service::Service;

/// The kind of record that a TLS server answers nonsense with, and the first byte of its version.
const ALERT: [u8; 2] = [0x15, 0x03];

/// What came back first; shared between the wire and who asks about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<AtomicU8>);

/// What was noted of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Nothing has come yet, nor has the wire ended.
    Nothing = 0,
    /// An alert of TLS.
    Alert = 1,
    /// It ended before anything came.
    End = 2,
    /// Anything else.
    Words = 3,
}

impl Seen {
    pub(super) fn first(&self) -> First {
        match self.0.load(Ordering::Relaxed) {
            0 => First::Nothing,
            1 => First::Alert,
            2 => First::End,
            _ => First::Words,
        }
    }

    fn note(&self, first: First) {
        self.0.store(first as u8, Ordering::Relaxed);
    }
}

/// A host's name that no address is known for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnknownName(io::Error);

/// Opens wires, for tonic.
#[derive(Debug, Clone)]
pub(super) struct Dialler {
    pub(super) seen: Seen,
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Wire>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let seen = self.seen.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
            let unknown = |error| io::Error::other(UnknownName(error));
            let addresses: Vec<_> = lookup_host((host, port)).await.map_err(unknown)?.collect();
            let stream = TcpStream::connect(addresses.as_slice()).await?;
            stream.set_nodelay(true)?;
            // Of a wire that was lost nothing holds for the next one.
            seen.note(First::Nothing);
            Ok(TokioIo::new(Wire { stream, seen }))
        })
    }
}

/// A wire whose first words are looked at.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    seen: Seen,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if self.seen.first() == First::Nothing {
            self.seen.note(match &buffer.filled()[before..] {
                [] => First::End,
                words if words.starts_with(&ALERT) => First::Alert,
                _ => First::Words,
            });
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
