//! Starting a registration.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use super::Registry;
use super::terms::Terms;
use crate::error::Error;
use crate::instance::{Instance, Status};
use crate::registration::{Conflict, HealthCheck, Registration};

/// A registration that is to be; awaiting it registers. See [`Registry::register`].
///
/// The future waits as long as the registry is away, and fails on what waiting cannot heal. Dropping it
/// at any point ends the registration: what has been granted until then is revoked.
#[derive(Debug)]
#[must_use = "nothing is registered until it is awaited"]
pub struct Register {
    registry: Registry,
    instance: Instance,
    terms: Terms,
}

impl Register {
    pub(crate) fn new(registry: Registry, instance: Instance) -> Self {
        Self { registry, instance, terms: Terms::default() }
    }

    /// How long the registration outlives the process at most, in whole seconds, 15 s unless given. The
    /// registry may raise it; etcd grants no less than 2 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = ttl;
        self
    }

    /// What to do when another registration holds the id.
    pub fn on_conflict(mut self, conflict: Conflict) -> Self {
        self.terms.conflict = conflict;
        self
    }

    /// Shows the instance as up only while the check passes; without one at once.
    pub fn health(mut self, check: HealthCheck) -> Self {
        self.terms.health = Some(check);
        self
    }

    /// The status to begin with; the instance's own unless given.
    pub fn status(mut self, status: Status) -> Self {
        self.instance.set_status(status);
        self
    }

    /// The same for an instance that has learnt its endpoint, with the status that was decided.
    pub(crate) fn with_instance(mut self, mut instance: Instance) -> Self {
        instance.set_status(self.instance.status());
        self.instance = instance;
        self
    }

    /// Has the thread begin. From here on the handle's drop ends what it has begun, or the handle's shutdown.
    pub(crate) fn begin(self) -> Result<Registration, Error> {
        Ok(Registration::new(self.terms.begin(&self.registry, vec![self.instance])?))
    }

    async fn register(self) -> Result<Registration, Error> {
        let registration = self.begin()?;
        registration.standing().await?;
        Ok(registration)
    }
}

impl IntoFuture for Register {
    type Output = Result<Registration, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.register())
    }
}
