//! Whether the client of an HTTP/1 connection is still there.
//!
//! HTTP/2 tells by resetting a stream. Here only the end of what the client sends tells, and nobody reads that while an
//! answer is under way, because a probe may close its side after the request and still wants its answer. The gateway's
//! calls can stay open for ever, and hold watchers and locks: they ask, and whoever owns the connection looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Shared by a connection and the calls that came on it.
#[derive(Debug, Clone, Default)]
pub struct Departure(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_asked: AtomicBool,
    gone: CancellationToken,
}

impl Departure {
    /// Whether somebody wants to know, and was not told yet: the connection is to look then.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Relaxed) && !self.0.gone.is_cancelled()
    }

    /// The client sends no more.
    pub fn tell(&self) {
        self.0.gone.cancel();
    }

    /// Ends when the client is gone.
    pub(super) fn wait(&self) -> WaitForCancellationFutureOwned {
        self.0.is_asked.store(true, Ordering::Relaxed);
        self.0.gone.clone().cancelled_owned()
    }
}
