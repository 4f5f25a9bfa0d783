//! Nothing gets stuck in a cork, and little goes through it.

use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;

/// Counts the writes that reach the socket.
struct Counting {
    io: TokioIo<DuplexStream>,
    writes: Arc<AtomicUsize>,
}

/// Its other side says nothing.
impl Read for Counting {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl Write for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

struct Rig {
    corked: Corked<Counting>,
    cork: CorkHandle<Counting>,
    far: DuplexStream,
    writes: Arc<AtomicUsize>,
}

/// A corked pipe that holds `capacity` bytes.
fn rig(capacity: usize) -> Rig {
    let (near, far) = tokio::io::duplex(capacity);
    let writes = Arc::new(AtomicUsize::new(0));
    let corked = Corked::new(Counting { io: TokioIo::new(near), writes: Arc::clone(&writes) }, Bytes::new());
    let cork = corked.cork();
    Rig { corked, cork, far, writes }
}

async fn write_all<IO: Write + Unpin>(corked: &mut Corked<IO>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::future::poll_fn(|cx| Pin::new(&mut *corked).poll_write(cx, bytes)).await?;
        std::future::poll_fn(|cx| Pin::new(&mut *corked).poll_flush(cx)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[tokio::test]
async fn many_small_writes_become_one() {
    let Rig { mut corked, cork, mut far, writes } = rig(64 * 1024);
    let connection = async move {
        for _ in 0..100 {
            write_all(&mut corked, &[7; 300]).await?;
        }
        std::future::pending::<io::Result<()>>().await
    };
    let serving = tokio::spawn(UncorkingConnection::new(connection, cork));
    let mut received = vec![0; 30_000];
    far.read_exact(&mut received).await.unwrap();
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    serving.abort();
}

#[tokio::test]
async fn bytes_behind_a_slow_reader_are_never_stuck() {
    let Rig { mut corked, cork, mut far, .. } = rig(1000);
    let total = 3 * DRAIN_BYTES + 17;
    let connection = async move {
        write_all(&mut corked, &vec![7; total]).await?;
        // From here on nothing polls the connection but the cork's own wakes.
        std::future::pending::<io::Result<()>>().await
    };
    let serving = tokio::spawn(UncorkingConnection::new(connection, cork));
    let mut received = vec![0; total];
    far.read_exact(&mut received).await.unwrap();
    assert!(received.iter().all(|byte| *byte == 7));
    serving.abort();
}

#[tokio::test]
async fn what_the_socket_takes_and_keeps_is_not_stuck_either() {
    let (near, mut far) = tokio::io::duplex(1000);
    // As TLS does, it keeps what it has taken until it is flushed.
    let keeping = tokio::io::BufWriter::with_capacity(4096, near);
    let mut corked = Corked::new(TokioIo::new(keeping), Bytes::new());
    let cork = corked.cork();
    let connection = async move {
        write_all(&mut corked, &[7; 10_000]).await?;
        std::future::pending::<io::Result<()>>().await
    };
    let serving = tokio::spawn(UncorkingConnection::new(connection, cork));
    let mut received = vec![0; 10_000];
    tokio::time::timeout(Duration::from_secs(10), far.read_exact(&mut received)).await.unwrap().unwrap();
    serving.abort();
}

#[tokio::test]
async fn a_full_buffer_holds_the_writer_back() {
    let Rig { mut corked, far, .. } = rig(1000);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut accepted = 0;
    while let Poll::Ready(written) = Pin::new(&mut corked).poll_write(&mut cx, &[7; 16 * 1024]) {
        accepted += written.unwrap();
        assert!(accepted <= DRAIN_BYTES + 32 * 1024, "the buffer has no bound");
    }
    drop(far);
}

#[tokio::test]
async fn a_shutdown_sends_what_waits_first() {
    let Rig { mut corked, cork, mut far, .. } = rig(1000);
    let connection = async move {
        write_all(&mut corked, &[7; 5000]).await?;
        std::future::poll_fn(|cx| Pin::new(&mut corked).poll_shutdown(cx)).await
    };
    let serving = tokio::spawn(UncorkingConnection::new(connection, cork));
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 5000);
    serving.await.unwrap();
}

#[tokio::test]
async fn the_last_words_of_a_failed_connection_are_sent() {
    let Rig { mut corked, cork, mut far, .. } = rig(1000);
    let connection = async move {
        write_all(&mut corked, &[7; 5000]).await?;
        Err(io::Error::other("a protocol error"))
    };
    let serving = tokio::spawn(UncorkingConnection::new(connection, cork));
    let mut received = vec![0; 5000];
    far.read_exact(&mut received).await.unwrap();
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_cannot_keep_an_ended_connection() {
    let Rig { mut corked, cork, far, .. } = rig(1000);
    let connection = async move { write_all(&mut corked, &[7; 5000]).await };
    UncorkingConnection::new(connection, cork).await;
    drop(far);
}

#[tokio::test]
async fn a_reader_that_is_gone_ends_the_connection() {
    let Rig { mut corked, cork, far, .. } = rig(1000);
    drop(far);
    let connection = async move {
        write_all(&mut corked, &[7; 5000]).await?;
        std::future::pending::<io::Result<()>>().await
    };
    UncorkingConnection::new(connection, cork).await;
}
