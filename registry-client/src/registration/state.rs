//! What a registration's holder can see of it, and what he can decide.

use std::sync::Arc;

use tokio::sync::watch;

use super::machine::Progress;
use crate::error::Error;

/// What to do when another registration holds the instance's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Conflict {
    /// The first registration fails with [`Error::Conflict`].
    #[default]
    Fail,
    /// Wait until the key is gone: after a crash, the old lease's TTL.
    WaitForExpiry,
    /// Take the key; the other registration ends with [`Error::Conflict`].
    TakeOver,
}

/// How a registration fares, as far as this process can tell. It is a hint about liveness, not mutual
/// exclusion: the registry may know better at any moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LeaseState {
    /// It has not stood yet; with what the last attempt ran into.
    Registering(Option<Arc<Error>>),
    /// The key stands and its lease is kept alive.
    Active,
    /// Something is wrong, and the lease has not expired yet.
    Suspect(Arc<Error>),
    /// By this process's clock the lease has expired; the registry may be away, or this process was.
    Lost(Arc<Error>),
    /// The lease or the key is gone, and another is being made; with the reason.
    Reregistering(Option<Arc<Error>>),
    /// A shutdown is under way.
    Draining,
    /// It has ended; with the reason, unless the user wanted it.
    Closed(Option<Arc<Error>>),
}

impl LeaseState {
    /// The error that goes with the state.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Registering(error) | Self::Reregistering(error) | Self::Closed(error) => error.as_deref(),
            Self::Suspect(error) | Self::Lost(error) => Some(error),
            Self::Active | Self::Draining => None,
        }
    }
}

/// The newest state of a registration, and a way to wait for the next.
#[derive(Debug, Clone)]
pub struct StateReceiver {
    progress: watch::Receiver<Progress>,
}

impl StateReceiver {
    pub(super) fn new(progress: watch::Receiver<Progress>) -> Self {
        Self { progress }
    }

    /// The state now.
    pub fn get(&self) -> LeaseState {
        self.progress.borrow().state.clone()
    }

    /// Waits for a state that `wanted` accepts; the current one counts. States that come and go while
    /// nobody looks are not seen. Dropping the future has no effect.
    ///
    /// # Errors
    /// [`Error::Closed`] when the registration ended in another state.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&LeaseState) -> bool) -> Result<LeaseState, Error> {
        let progress = self.progress.wait_for(|progress| wanted(&progress.state)).await;
        progress.map(|progress| progress.state.clone()).map_err(|_| Error::Closed)
    }

    /// Waits for the next state. Dropping the future has no effect.
    ///
    /// # Errors
    /// [`Error::Closed`] after the last state.
    pub async fn changed(&mut self) -> Result<LeaseState, Error> {
        let before = self.get();
        self.wait_for(|state| *state != before).await
    }
}
