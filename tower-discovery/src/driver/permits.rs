//! How many endpoints are connected to at the same time.
//!
//! An attempt at an endpoint that never answers lasts as long as it may. So that many such endpoints do not hold up
//! the others, those whose last attempt failed share a part of the permits; first attempts, and reconnects after a
//! connection that served, have the whole. Whoever waits is served in the order of coming.

use std::sync::Arc;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// Permits for attempts to connect; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// A half of them, at least one.
    failing: Arc<Semaphore>,
}

/// Allows one attempt until it is dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _any: SemaphorePermit<'a>,
    _failing: Option<SemaphorePermit<'a>>,
}

impl Permits {
    pub(super) fn new(parallel: usize) -> Self {
        let all = parallel.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(all)), failing: Arc::new(Semaphore::new((all / 2).max(1))) }
    }

    /// Waits for one. Dropping the future gives up the place in the queue.
    pub(super) async fn acquire(&self, has_failed: bool) -> Result<Permit<'_>, AcquireError> {
        // In this order, so that those that failed do not queue up before the others either.
        let failing = if has_failed { Some(self.failing.acquire().await?) } else { None };
        Ok(Permit { _any: self.all.acquire().await?, _failing: failing })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn endpoints_that_failed_leave_half_of_the_permits() {
        let permits = Permits::new(4);
        let failing = [permits.acquire(true).await.unwrap(), permits.acquire(true).await.unwrap()];
        let mut third = Box::pin(permits.acquire(true));
        assert!(third.as_mut().now_or_never().is_none());
        let others = [permits.acquire(false).await.unwrap(), permits.acquire(false).await.unwrap()];
        assert!(permits.acquire(false).now_or_never().is_none(), "four in all");
        drop(others);
        assert!(third.as_mut().now_or_never().is_none());
        drop(failing);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_permit_serves_all() {
        let permits = Permits::new(1);
        drop(permits.acquire(true).await.unwrap());
        drop(permits.acquire(false).await.unwrap());
    }
}
