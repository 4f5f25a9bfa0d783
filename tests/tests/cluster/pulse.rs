//! One writer that never has to wait: every single write succeeds at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::budget::SOON;
use registry_tests::requests::put;
use registry_tests::{Client, eventually};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// What one write may take: more than it should, and less than what waits for somebody who is not there.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Between two writes: this is about waits, and not about speed.
const PAUSE: Duration = Duration::from_millis(5);
/// Longer than an election timeout: who is waited for is missed by then.
const A_WHILE: Duration = Duration::from_millis(1_500);

/// A writer at work.
#[derive(Debug)]
pub(crate) struct Pulse {
    writes: Arc<AtomicUsize>,
    end: CancellationToken,
    task: Mutex<JoinHandle<()>>,
}

impl Pulse {
    /// Writes through one member.
    pub(crate) fn start(client: Client) -> Self {
        let (writes, end) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (count, over) = (writes.clone(), end.clone());
        let task = tokio::spawn(async move {
            while !over.is_cancelled() {
                let number = count.load(Ordering::Relaxed);
                let answer = timeout(AT_ONCE, client.try_put(put("pulse", number.to_string()))).await;
                let answer = answer.unwrap_or_else(|_| panic!("write {number} was not answered in {AT_ONCE:?}"));
                answer.unwrap_or_else(|status| panic!("write {number} was refused: {status}"));
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { writes, end, task: Mutex::new(task) }
    }

    /// Waits until writes have gone on for a while.
    pub(crate) async fn goes_on(&self) {
        let (began, before) = (Instant::now(), self.writes.load(Ordering::Relaxed));
        eventually(SOON, "writes go on", async || {
            self.assert_it_works().await;
            began.elapsed() >= A_WHILE && self.writes.load(Ordering::Relaxed) >= before + 20
        })
        .await;
    }

    async fn assert_it_works(&self) {
        if self.task.lock().is_finished() {
            let ended = std::mem::replace(&mut *self.task.lock(), tokio::spawn(async {}));
            ended.await.expect("every write succeeds at once");
        }
    }

    /// Ends the writes, all of which have succeeded.
    pub(crate) async fn end(self) {
        self.end.cancel();
        self.task.into_inner().await.expect("every write succeeds at once");
    }
}
