//! Whether a connection can still take requests, known to all who hold it at once.
//!
//! The connector's task, the callers and the driver share one: whoever sees the end first tells it, callers
//! skip the connection from that moment on, and the endpoint's task wakes to connect anew. It ends once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The life of one connection; clones are handles of the same one.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    over: AtomicBool,
    ended: Notify,
}

/// Ends the connection's life when it is dropped, whatever way its task came to its end.
#[derive(Debug)]
pub struct LivenessGuard(Liveness);

impl Liveness {
    /// Says that the connection takes no more requests. Those in flight are not touched.
    pub fn end(&self) {
        if !self.0.over.swap(true, Ordering::AcqRel) {
            self.0.ended.notify_waiters();
        }
    }

    /// Whether [`end`](Self::end) was called.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Waits for the end. Dropping the future does nothing.
    pub async fn ended(&self) {
        let ended = self.0.ended.notified();
        tokio::pin!(ended);
        // Registered before the flag is read, so that an end in between is not missed.
        ended.as_mut().enable();
        if !self.is_over() {
            ended.await;
        }
    }

    /// A guard for the task that drives the connection.
    #[must_use]
    pub fn guard(&self) -> LivenessGuard {
        LivenessGuard(self.clone())
    }
}

impl Drop for LivenessGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}
