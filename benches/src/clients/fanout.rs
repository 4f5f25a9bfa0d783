//! What the writers of a watch load and all its watchers share: how much was sent, and how much has arrived.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::watch::OPERATION;
use crate::BenchError;

/// How often a phase's end looks for the last events.
const POLL_EVERY: Duration = Duration::from_millis(1);
/// Events that take longer than this are taken for lost.
pub(crate) const EVENTS_LIMIT: Duration = Duration::from_secs(60);

/// What the writer and all watchers share.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// What the times in values count from.
    pub(super) epoch: Instant,
    /// At how many watchers each put arrives.
    arrivals: u64,
    /// None in an open loop, whose rate is what bounds it.
    pub(super) window: Option<u64>,
    /// Puts.
    sent: AtomicU64,
    /// Events.
    delivered: AtomicU64,
    /// How many delivered events the writer waits for.
    awaited: AtomicU64,
    reached: Notify,
    /// Set with the failure, and stays when that was taken.
    failed: AtomicBool,
    failure: Mutex<Option<BenchError>>,
    /// One of the writers that wait at a phase's end looks for all of them.
    settling: tokio::sync::Mutex<()>,
}

impl Fanout {
    pub(crate) fn new(arrivals: u64, window: Option<u64>) -> Self {
        Self {
            epoch: Instant::now(),
            arrivals,
            window,
            sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            settling: tokio::sync::Mutex::default(),
        }
    }

    /// How many puts were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Counts a put that is about to be sent, and returns its number.
    pub(super) fn send(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn deliver(&self, events: u64) {
        let delivered = self.delivered.fetch_add(events, Ordering::SeqCst) + events;
        if delivered >= self.awaited.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    pub(super) fn fail(&self, error: BenchError) {
        self.failure.lock().get_or_insert(error);
        self.failed.store(true, Ordering::SeqCst);
        self.reached.notify_one();
    }

    /// Waits until so many puts have arrived at all watchers. Only the one writer of a closed loop waits here.
    pub(super) async fn arrived(&self, puts: u64) -> Result<(), BenchError> {
        let wanted = puts * self.arrivals;
        self.awaited.store(wanted, Ordering::SeqCst);
        let arrival = async {
            while self.delivered.load(Ordering::SeqCst) < wanted && !self.failed.load(Ordering::SeqCst) {
                self.reached.notified().await;
            }
        };
        let in_time = timeout(EVENTS_LIMIT, arrival).await;
        self.awaited.store(u64::MAX, Ordering::SeqCst);
        if let Some(error) = self.failure.lock().take() {
            return Err(error);
        }
        in_time.map_err(|_| self.missing(wanted))
    }

    /// Waits until all that has been sent has arrived; any number of writers may wait here. A failure is told to
    /// one of them.
    pub(super) async fn all_arrived(&self) -> Result<(), BenchError> {
        let _turn = self.settling.lock().await;
        let began = Instant::now();
        while !self.failed.load(Ordering::SeqCst) {
            let wanted = self.sent() * self.arrivals;
            if self.delivered.load(Ordering::SeqCst) >= wanted {
                return Ok(());
            }
            if began.elapsed() > EVENTS_LIMIT {
                self.fail(self.missing(wanted));
            }
            sleep(POLL_EVERY).await;
        }
        self.failure.lock().take().map_or(Ok(()), Err)
    }

    fn missing(&self, wanted: u64) -> BenchError {
        let delivered = self.delivered.load(Ordering::SeqCst);
        BenchError::answer(OPERATION, format!("{delivered} of {wanted} events after {EVENTS_LIMIT:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_writer_waits_for_the_last_watcher_and_not_for_ever() {
        let fanout = Fanout::new(2, Some(1));
        fanout.deliver(2);
        fanout.arrived(1).await.unwrap();
        let fanout = Arc::new(fanout);
        let waiting = tokio::spawn({
            let fanout = Arc::clone(&fanout);
            async move { fanout.arrived(2).await }
        });
        fanout.deliver(1);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        fanout.deliver(1);
        waiting.await.unwrap().unwrap();
        assert!(fanout.arrived(3).await.unwrap_err().to_string().contains("4 of 6 events"));
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_never_come_are_told_to_one_of_those_who_wait_for_them() {
        let fanout = Fanout::new(1, None);
        fanout.send();
        let began = Instant::now();
        let (first, second) = tokio::join!(fanout.all_arrived(), fanout.all_arrived());
        assert!(first.unwrap_err().to_string().contains("0 of 1 events"));
        assert!(second.is_ok() && began.elapsed() < 2 * EVENTS_LIMIT);
    }
}
