//! The body of a large answer, which is given up when its client does not read it.
//!
//! Nobody asks a body for more while its client's window is shut, so nothing in a body can notice that: a task looks at the
//! clock for it. The answer is handed on in pieces that are copies, since what waits to be sent would otherwise keep all of
//! it. So a client that reads nothing holds its share of what answers may take as long as there is patience, and one that
//! reads slower than [`SLOWEST`] for that much longer than its bytes may take; then both hold a piece.

use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::slow::Throttle;
use crate::api::Share;

/// The slowest pace of all of an answer, in bytes a second.
const SLOWEST: u64 = 64 * 1024;
/// What is handed on at once.
const PIECE_BYTES: usize = 64 * 1024;

static LINES: LazyLock<Throttle> = LazyLock::new(Throttle::default);

/// The body. It ends with an error once it was given up.
#[derive(Debug)]
pub(super) struct Patient {
    held: Arc<Mutex<Option<Held>>>,
    has_ended: bool,
}

/// What goes when the answer is given up.
#[derive(Debug)]
struct Held {
    body: Body,
    /// What of the body has come and is not handed on.
    rest: Bytes,
    begun: Instant,
    last_read: Instant,
    read_bytes: u64,
    /// How long its client may read nothing, and how far it may lag behind the slowest pace.
    patience: Duration,
    _share: Share,
}

impl Patient {
    /// An answer that holds `share` until it has been read or is given up. Needs a runtime of tokio.
    pub(super) fn new(body: Body, share: Share, patience: Duration) -> Self {
        let now = Instant::now();
        let rest = Bytes::new();
        let held = Held { body, rest, begun: now, last_read: now, read_bytes: 0, patience, _share: share };
        let held = Arc::new(Mutex::new(Some(held)));
        drop(tokio::spawn(watch(Arc::downgrade(&held), now + patience)));
        Self { held, has_ended: false }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let frame = match &mut *self.held.lock() {
            Some(held) => ready!(held.poll_frame(cx)),
            None => Some(Err(Status::cancelled("the answer was not read in time"))),
        };
        if !matches!(frame, Some(Ok(_))) {
            self.has_ended = true;
            drop(self.held.lock().take());
        }
        Poll::Ready(frame)
    }
}

impl Held {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = Bytes::copy_from_slice(&self.rest[..self.rest.len().min(PIECE_BYTES)]);
        self.rest.advance(piece.len());
        self.last_read = Instant::now();
        self.read_bytes += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// When it is given up, if nothing more is read.
    fn deadline(&self) -> Instant {
        let pace = Duration::from_secs(self.read_bytes / SLOWEST);
        (self.last_read + self.patience).min(self.begun + self.patience + pace)
    }
}

/// Gives an answer up at its deadline, which moves on while it is read.
async fn watch(held: Weak<Mutex<Option<Held>>>, first: Instant) {
    let mut deadline = first;
    loop {
        sleep_until(deadline).await;
        // Read to its end, or its client is gone.
        let Some(held) = held.upgrade() else { return };
        let mut held = held.lock();
        let Some(answer) = &*held else { return };
        deadline = answer.deadline();
        if deadline > Instant::now() {
            continue;
        }
        let read_bytes = answer.read_bytes;
        *held = None;
        drop(held);
        if let Some(held_back) = LINES.pass(Instant::now()) {
            tracing::warn!(read_bytes, held_back, "a large answer was given up: its client reads too slowly");
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::{BodyExt, Full};
    use tokio::sync::Semaphore;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const MANY: usize = 10 * PIECE_BYTES + 1;

    /// An answer, and what is free of the budget, of which it holds 7.
    fn answer() -> (Patient, Arc<Semaphore>) {
        let free = Arc::new(Semaphore::new(10));
        let share = free.clone().try_acquire_many_owned(7).unwrap();
        let bytes: Bytes = (0..MANY).map(|at| at as u8).collect();
        (Patient::new(Body::new(Full::new(bytes)), Share::from(share), PATIENCE), free)
    }

    async fn read(patient: &mut Patient) -> Result<usize, Status> {
        Ok(patient.frame().await.unwrap()?.into_data().unwrap().len())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_comes_whole_and_gives_its_share_back() {
        let (patient, free) = answer();
        let whole = patient.collect().await.unwrap().to_bytes();
        assert!(whole.len() == MANY && whole.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        assert_eq!(free.available_permits(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_more_holds_its_share_for_so_long_and_then_a_piece() {
        let (mut patient, free) = answer();
        let piece = patient.frame().await.unwrap().unwrap();
        tokio::time::sleep(PATIENCE - Duration::from_millis(1)).await;
        assert_eq!(free.available_permits(), 3);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(free.available_permits(), 10, "nobody polls the body, and it is gone");
        assert!(read(&mut patient).await.is_err());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut patient).poll_frame(&mut cx), Poll::Ready(None)));
        assert_eq!(piece.into_data().unwrap().len(), PIECE_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_all_and_one_that_only_drips_does_not() {
        let (mut patient, free) = answer();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(read(&mut patient).await.unwrap(), PIECE_BYTES);
        }
        assert_eq!(read(&mut patient).await.unwrap(), 1);

        let (mut dripping, of_it) = answer();
        assert_eq!(free.available_permits(), 3);
        let mut pieces = 0;
        while read(&mut dripping).await.is_ok() {
            pieces += 1;
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
        }
        assert_eq!((pieces, of_it.available_permits()), (2, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_gives_its_share_back_at_once() {
        let (mut patient, free) = answer();
        read(&mut patient).await.unwrap();
        drop(patient);
        assert_eq!(free.available_permits(), 10);
    }
}
