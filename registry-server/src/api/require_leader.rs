//! Clients that want no answers from a member without a leader say so with the metadata `hasleader: true`, as in etcd.

use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::status::WireError;
use crate::types::Runtime;

/// The metadata's name.
const HAS_LEADER: &str = "hasleader";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Knows whether there is a leader, and ends the streams of those who want one when it is gone.
pub struct RequireLeader {
    has_leader: Box<dyn Fn() -> bool + Send + Sync>,
    /// Cancelled when the leader has been gone for long, and replaced then.
    lost: Mutex<CancellationToken>,
}

impl RequireLeader {
    /// Asks `has_leader` whether there is one.
    pub fn new(has_leader: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { has_leader: Box::new(has_leader), lost: Mutex::default() }
    }

    /// Refuses a request that wants a leader when there is none.
    ///
    /// # Errors
    /// etcd's "no leader".
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Status> {
        if is_asked(headers) && !(self.has_leader)() { Err(WireError::NoLeader.into()) } else { Ok(()) }
    }

    /// Cancelled when the leader is lost, for a stream that wants one.
    pub fn lost(&self, headers: &HeaderMap) -> Option<CancellationToken> {
        is_asked(headers).then(|| self.lost.lock().clone())
    }

    /// Ends streams that want a leader each time there has been none for `patience`; never returns.
    pub async fn watch<R: Runtime>(&self, patience: Duration) {
        let mut gone = Duration::ZERO;
        loop {
            R::sleep(PAUSE).await;
            gone = if (self.has_leader)() { Duration::ZERO } else { gone + PAUSE };
            if gone >= patience {
                gone = Duration::ZERO;
                std::mem::take(&mut *self.lost.lock()).cancel();
            }
        }
    }
}

fn is_asked(headers: &HeaderMap) -> bool {
    headers.get(HAS_LEADER).is_some_and(|value| value == "true")
}

impl std::fmt::Debug for RequireLeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequireLeader")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http::HeaderValue;
    use openraft::impls::TokioRuntime;
    use tokio::time::{Instant, timeout};

    use super::*;

    fn asking() -> HeaderMap {
        [(http::HeaderName::from_static(HAS_LEADER), HeaderValue::from_static("true"))].into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_those_who_want_a_leader_are_refused_and_cut_and_only_after_a_while() {
        let has_leader = Arc::new(AtomicBool::new(true));
        let there = has_leader.clone();
        let require = Arc::new(RequireLeader::new(move || there.load(Ordering::Relaxed)));
        let watching = require.clone();
        tokio::spawn(async move { watching.watch::<TokioRuntime>(Duration::from_secs(3)).await });
        let (lost, none) = (require.lost(&asking()).unwrap(), HeaderMap::new());
        assert!(require.lost(&none).is_none() && require.check(&asking()).is_ok());
        assert!(timeout(Duration::from_secs(60), lost.cancelled()).await.is_err());
        has_leader.store(false, Ordering::Relaxed);
        let began = Instant::now();
        assert_eq!(require.check(&asking()).unwrap_err().message(), "etcdserver: no leader");
        assert!(require.check(&none).is_ok());
        lost.cancelled().await;
        assert!((2_900..=3_200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        has_leader.store(true, Ordering::Relaxed);
        let lost = require.lost(&asking()).unwrap();
        assert!(timeout(Duration::from_secs(60), lost.cancelled()).await.is_err());
    }
}
