//! How many endpoints are connected to at the same time.
//!
//! An attempt at an endpoint that never answers lasts as long as it may. So that many such endpoints do not hold up
//! the others, an attempt that has lasted a while steps aside: it goes on in a second, larger set of places, and another one
//! begins. And those whose last attempt failed share a part of the permits; first attempts, and reconnects after a
//! connection that served, have the whole. Whoever waits is served in the order of coming.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

/// An attempt that lasts longer steps aside: by RFC 8305 (Happy Eyeballs) the time after which a next address is tried as well.
const PROMPT: Duration = Duration::from_millis(250);
/// So many times as many attempts may be aside as there are permits.
const ASIDE: usize = 4;

/// Permits for attempts to connect; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// A half of them, at least one.
    failing: Arc<Semaphore>,
    /// For attempts that last.
    aside: Arc<Semaphore>,
}

/// Allows one attempt until it is dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    /// Of all, or aside.
    _place: SemaphorePermit<'a>,
    /// Kept aside as well, so that who failed before does not take the room there either.
    _failing: Option<SemaphorePermit<'a>>,
    aside: &'a Semaphore,
}

impl Permits {
    pub(super) fn new(parallel: usize) -> Self {
        let all = parallel.clamp(1, Semaphore::MAX_PERMITS / ASIDE);
        let places = |count: usize| Arc::new(Semaphore::new(count));
        Self { all: places(all), failing: places((all / 2).max(1)), aside: places(all * ASIDE) }
    }

    /// Waits for one. Dropping the future gives up the place in the queue.
    pub(super) async fn acquire(&self, has_failed: bool) -> Permit<'_> {
        // In this order, so that those that failed do not queue up before the others either.
        let failing = if has_failed { Some(place(&self.failing).await) } else { None };
        Permit { _place: place(&self.all).await, _failing: failing, aside: &self.aside }
    }
}

impl Permit<'_> {
    /// Waits until the attempt is no prompt one and there is room aside, and makes way for another. Dropping the future
    /// leaves it where it is.
    pub(super) async fn step_aside(&mut self) {
        sleep(PROMPT).await;
        self._place = place(self.aside).await;
    }
}

async fn place(places: &Semaphore) -> SemaphorePermit<'_> {
    places.acquire().await.expect("nobody closes it")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn endpoints_that_failed_leave_half_of_the_permits() {
        let permits = Permits::new(4);
        let failing = [permits.acquire(true).await, permits.acquire(true).await];
        let mut third = Box::pin(permits.acquire(true));
        assert!(third.as_mut().now_or_never().is_none());
        let others = [permits.acquire(false).await, permits.acquire(false).await];
        assert!(permits.acquire(false).now_or_never().is_none(), "four in all");
        drop(others);
        assert!(third.as_mut().now_or_never().is_none());
        drop(failing);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_permit_serves_all() {
        let permits = Permits::new(1);
        drop(permits.acquire(true).await);
        drop(permits.acquire(false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_last_make_way_until_there_is_no_room_aside() {
        let permits = Permits::new(2);
        let began = Instant::now();
        let mut aside = Vec::new();
        for number in 1..=ASIDE * 2 {
            let mut permit = permits.acquire(false).await;
            permit.step_aside().await;
            assert_eq!(began.elapsed(), PROMPT * u32::try_from(number).unwrap());
            aside.push(permit);
        }
        let (mut third, _fourth) = (permits.acquire(false).await, permits.acquire(false).await);
        let waits = tokio::time::timeout(PROMPT * 10, third.step_aside()).await;
        assert!(waits.is_err() && permits.acquire(false).now_or_never().is_none(), "both sets are bounded");
        aside.pop();
        third.step_aside().await;
        assert!(permits.acquire(false).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_before_is_counted_aside_as_well() {
        let permits = Permits::new(2);
        let mut failed = permits.acquire(true).await;
        failed.step_aside().await;
        assert!(permits.acquire(true).now_or_never().is_none());
        let _others = [permits.acquire(false).await, permits.acquire(false).await];
    }
}
