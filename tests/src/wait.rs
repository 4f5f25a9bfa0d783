//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::budget::{ANSWER, POLL};

/// Returns as soon as `condition` holds, and panics when it still does not after `deadline`.
///
/// # Panics
/// With `what`, when time is up.
#[track_caller]
pub fn eventually<F>(deadline: Duration, what: &str, mut condition: impl FnMut() -> F) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + deadline;
        while !condition().await {
            assert!(Instant::now() < end, "{caller}: not after {deadline:?}: {what}");
            sleep(POLL).await;
        }
    }
}

/// The outcome of `future`, which must come within [`ANSWER`].
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(ANSWER, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: no answer within {ANSWER:?}"),
        }
    }
}
