//! A registration: an instance held in the registry under a lease of its own.
//!
//! `machine` decides, `driver` carries out on the SDK's thread, `keepalive` is the stream that all leases
//! of a connection share, `ownkeys` watches what stands under its keys, `slot` is how the user's side and
//! the thread talk, `tombstone` is what operators do, `health` decides
//! whether an instance is shown as up. [`Registration`] is the handle, [`Registrations`] that of many under one lease: dropping
//! it, or the future that would have made it, revokes the lease.

mod bulk;
pub(crate) mod driver;
pub(crate) mod health;
pub(crate) mod keepalive;
pub(crate) mod machine;
pub(crate) mod outstanding;
mod ownkeys;
pub(crate) mod rpc;
mod shutdown;
pub(crate) mod slot;
mod state;
pub(crate) mod tombstone;

use std::fmt;
use std::sync::Arc;

pub use bulk::Registrations;
pub use health::HealthCheck;
pub use shutdown::{Shutdown, shutdown_signal};
use slot::Slot;
pub use state::{Conflict, LeaseState, StateReceiver};
pub use tombstone::Removed;

use crate::error::Error;
use crate::instance::{Instance, Status};

/// An instance that stands in the registry as long as this lives.
///
/// Dropping it revokes the lease on the SDK's thread, without blocking, whatever has become of the
/// runtime it was made on. A process that ends at once afterwards should hold a
/// [`crate::RegistryGuard`]; without one, and after `process::exit`, `mem::forget` or SIGKILL, the TTL is
/// the bound.
#[must_use = "dropping a registration revokes it"]
pub struct Registration {
    slot: Arc<Slot>,
}

impl Registration {
    /// A handle whose drop closes the slot, from before the registration stands.
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// Waits until the registration stands for the first time.
    pub(crate) async fn standing(&self) -> Result<(), Error> {
        self.slot.standing().await
    }

    /// The instance as it was last set. What a health check makes of its status is not in it.
    pub fn instance(&self) -> Instance {
        let first = self.slot.instances().swap_remove(0);
        Arc::unwrap_or_clone(first)
    }

    /// How the lease fares. The receiver ends with [`LeaseState::Closed`].
    pub fn state(&self) -> StateReceiver {
        StateReceiver::new(self.slot.progress())
    }

    /// Sets the status under the same lease, and waits until the registry has it.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    /// As [`Registration::update`].
    pub async fn set_status(&self, status: Status) -> Result<(), Error> {
        self.update(|instance| instance.set_status(status)).await
    }

    /// Changes the instance under the same lease, and waits until the registry has it, for as long as the
    /// registry is away. Fields that others added to the record are kept.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    /// When the registration has ended, or the registry refuses the value; a refused value is tried again
    /// until another one takes its place.
    pub async fn update(&self, change: impl FnOnce(&mut Instance)) -> Result<(), Error> {
        let mut change = Some(change);
        let update = self.slot.update(0..1, |instance| {
            if let Some(change) = change.take() {
                change(instance);
            }
        });
        self.slot.stored(update).await
    }

    /// Waits until the health check says that the instance is up, and the registry has it so. Without a
    /// health check there is nothing to wait for.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// When the registration has ended.
    pub async fn healthy(&self) -> Result<(), Error> {
        self.slot.healthy().await
    }

    /// Ends the registration in order: [`Status::Draining`] is put, watchers get the drain time to take it
    /// in and requests to finish, then the lease is revoked, all within the limit.
    ///
    /// Dropping the future cuts the drain short: the lease is revoked at once.
    ///
    /// # Errors
    /// [`Error::Deadline`] when the revoke is not confirmed within the limit; it goes on in the background.
    pub async fn shutdown(self, shutdown: Shutdown) -> Result<(), Error> {
        shutdown.run(&self.slot).await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.slot.close();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.slot.progress().borrow().state.clone();
        formatter.debug_struct("Registration").field("instance", &self.instance()).field("state", &state).finish()
    }
}
