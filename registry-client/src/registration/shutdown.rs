//! The end of a registration in order: visible as draining, time to drain, revoke, under one limit.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::machine::Machine;
use super::slot::Slot;
use super::state::LeaseState;
use crate::error::Error;

/// How long a shutdown drains, and how long all of it may take.
///
/// ```
/// use std::time::Duration;
///
/// use registry_client::Shutdown;
///
/// let shutdown = Shutdown::new().drain(Duration::from_secs(5)).deadline(Duration::from_secs(25));
/// # let _ = shutdown;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shutdown {
    drain: Duration,
    limit: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// 2 s of drain within 10 s.
    #[must_use]
    pub fn new() -> Self {
        Self { drain: Duration::from_secs(2), limit: Duration::from_secs(10) }
    }

    /// How long the instance stays visible as draining before the lease is revoked. With a drain of zero it is not
    /// shown as draining at all.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// How long the whole shutdown may take; the revoke goes out before it ends, however far the drain is.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn drain_time(self) -> Duration {
        self.drain
    }

    pub(crate) fn limit(self) -> Duration {
        self.limit
    }

    pub(super) async fn run(self, slot: &Arc<Slot>) -> Result<(), Error> {
        let mut progress = slot.progress();
        let revoke_by = slot.clock.boot_time().saturating_add(self.limit - Machine::revoke_reserve(self.limit));
        slot.shut_down(self.drain, revoke_by);
        let ended = progress.wait_for(|progress| progress.released);
        let progress = tokio::time::timeout(self.limit, ended).await.map_err(|_| Error::Deadline)?;
        match progress.map_err(|_| Error::Closed)?.state.clone() {
            LeaseState::Closed(Some(error)) => Err(Error::clone(&error)),
            _ => Ok(()),
        }
    }
}

/// Completes when the process is told to end, by SIGTERM or SIGINT.
///
/// Called on a tokio runtime, the signals no longer end the process by themselves from then on; called elsewhere, from
/// when it is first awaited. Must be awaited on a tokio runtime with I/O enabled. Dropping the future has no effect on
/// later ones, and the signals stay caught.
///
/// ```no_run
/// # async fn main_task(registration: registry_client::Registration) -> Result<(), registry_client::Error> {
/// registry_client::shutdown_signal().await;
/// registration.shutdown(registry_client::Shutdown::new()).await?;
/// # Ok(())
/// # }
/// ```
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let caught = tokio::runtime::Handle::try_current().is_ok().then(Signals::catch);
    async move {
        match caught.unwrap_or_else(Signals::catch) {
            Ok(mut signals) => signals.next().await,
            Err(error) => {
                tracing::error!(%error, "signals cannot be handled; they end the process as by default");
                std::future::pending::<()>().await;
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
