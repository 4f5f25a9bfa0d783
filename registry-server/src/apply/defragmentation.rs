//! Who waits for the store to be defragmented, and how far that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Asked for by anybody, done by the apply thread in slices. All who ask before a round begins share it.
#[derive(Default)]
pub struct Defragmentation {
    asked: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    moved: Notify,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Defragmentation {
    /// Asks for a round, and returns when it is done.
    pub async fn run(&self) {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake {
            wake();
        }
        loop {
            // Registered before the look, so that no wake-up in between is missed.
            let moved = self.moved.notified();
            if self.done.load(Ordering::Acquire) >= mine {
                return;
            }
            moved.await;
        }
    }

    /// What to call when somebody asks.
    pub(super) fn on_ask(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        *self.wake.lock() = Some(wake);
    }

    /// Whether somebody waits for a round that has not begun.
    pub(super) fn is_asked(&self) -> bool {
        self.begun.load(Ordering::Acquire) < self.asked.load(Ordering::Acquire)
    }

    /// A round begins, for all who have asked.
    pub(super) fn begin(&self) {
        self.begun.store(self.asked.load(Ordering::Acquire), Ordering::Release);
    }

    /// The round that has begun is done.
    pub(super) fn end(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        if self.done.swap(begun, Ordering::AcqRel) < begun {
            self.moved.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Defragmentation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Defragmentation").field("asked", &self.asked).field("done", &self.done).finish_non_exhaustive()
    }
}
