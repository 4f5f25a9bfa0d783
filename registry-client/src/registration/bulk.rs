//! Many instances under one lease, with one handle.

use std::fmt;
use std::sync::Arc;

use super::slot::Slot;
use super::{Shutdown, StateReceiver};
use crate::error::Error;
use crate::instance::{Instance, Status};

/// Instances that stand in the registry as long as this lives, all under one lease.
///
/// They are healed one by one, and end together. Dropping it revokes the lease, as with a
/// [`crate::Registration`].
#[must_use = "dropping registrations revokes them"]
pub struct Registrations {
    slot: Arc<Slot>,
}

impl Registrations {
    /// A handle whose drop closes the slot, from before the registrations stand.
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    pub(crate) async fn standing(&self) -> Result<(), Error> {
        self.slot.standing().await
    }

    /// The instances as they were last set, in the order of their keys.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.slot.instances()
    }

    /// How the lease and its keys fare: [`crate::LeaseState::Active`] when every key stands. The receiver ends
    /// with [`crate::LeaseState::Closed`].
    pub fn state(&self) -> StateReceiver {
        StateReceiver::new(self.slot.progress())
    }

    /// Sets the status of all, and waits until the registry has it; see [`Registrations::update`].
    ///
    /// # Errors
    /// As [`Registrations::update`].
    pub async fn set_status(&self, status: Status) -> Result<(), Error> {
        self.update(|instance| instance.set_status(status)).await
    }

    /// Changes all instances, and waits until the registry has all of them, for as long as it is away. They are
    /// put in several txns, so that others may see some changed and some not.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    /// When the registrations have ended, or the registry refuses a value; a refused value is tried again until
    /// another one takes its place.
    pub async fn update(&self, change: impl FnMut(&mut Instance)) -> Result<(), Error> {
        let all = 0..self.slot.instances().len();
        let update = self.slot.update(all, change);
        self.slot.stored(update).await
    }

    /// Changes one instance, and waits until the registry has it.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    /// As [`Registrations::update`], and [`Error::Setting`] when no such instance is among them.
    pub async fn update_one(&self, service: &str, id: &str, change: impl FnMut(&mut Instance)) -> Result<(), Error> {
        let is_it = |instance: &Arc<Instance>| instance.service() == service && instance.id() == id;
        let place = self.slot.instances().iter().position(is_it);
        let place = place.ok_or_else(|| {
            Error::Setting(format!("{service}/{id} is not among these registrations: give one of `instances`"))
        })?;
        let update = self.slot.update(place..place + 1, change);
        self.slot.stored(update).await
    }

    /// As [`crate::Registration::healthy`], for all of them.
    ///
    /// # Errors
    /// When the registrations have ended.
    pub async fn healthy(&self) -> Result<(), Error> {
        self.slot.healthy().await
    }

    /// Ends all of them in order; see [`crate::Registration::shutdown`].
    ///
    /// Dropping the future cuts the drain short: the lease is revoked at once.
    ///
    /// # Errors
    /// [`Error::Deadline`] when the revoke is not confirmed within the limit; it goes on in the background.
    pub async fn shutdown(self, shutdown: Shutdown) -> Result<(), Error> {
        shutdown.run(&self.slot).await
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        self.slot.close();
    }
}

impl fmt::Debug for Registrations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.slot.progress().borrow().state.clone();
        let count = self.slot.instances().len();
        formatter.debug_struct("Registrations").field("count", &count).field("state", &state).finish()
    }
}
