//! Starting many registrations under one lease.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use super::Registry;
use super::terms::Terms;
use crate::error::Error;
use crate::instance::{Instance, Status};
use crate::registration::{Conflict, HealthCheck, Registrations};

/// Registrations that are to be; awaiting it registers all or none. See [`Registry::register_all`].
///
/// The keys are put in txns of at most 64 keys (128 comparisons) and 1.5 MiB, which is what etcd takes, one
/// after the other under one lease. It completes when all stand. When one cannot be, the lease is revoked, which
/// removes all that were put; others may have seen those meanwhile.
///
/// The future waits as long as the registry is away, and fails on what waiting cannot heal. Dropping it
/// at any point ends all of them: what has been granted until then is revoked.
#[derive(Debug)]
#[must_use = "nothing is registered until it is awaited"]
pub struct RegisterAll {
    registry: Registry,
    instances: Vec<Instance>,
    terms: Terms,
}

impl RegisterAll {
    pub(crate) fn new(registry: Registry, instances: Vec<Instance>) -> Self {
        Self { registry, instances, terms: Terms::default() }
    }

    /// How long they outlive the process at most; see [`super::Register::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = ttl;
        self
    }

    /// What to do when another registration holds one of the ids.
    pub fn on_conflict(mut self, conflict: Conflict) -> Self {
        self.terms.conflict = conflict;
        self
    }

    /// Shows the instances as up only while the check passes; without one at once.
    pub fn health(mut self, check: HealthCheck) -> Self {
        self.terms.health = Some(check);
        self
    }

    /// The status of all to begin with; each instance's own unless given.
    pub fn status(mut self, status: Status) -> Self {
        self.instances.iter_mut().for_each(|instance| instance.set_status(status));
        self
    }

    async fn register(self) -> Result<Registrations, Error> {
        if self.instances.is_empty() {
            return Err(Error::Setting("no instance to register: give at least one".to_owned()));
        }
        // From here on the handle's drop ends what the thread has begun.
        let registrations = Registrations::new(self.terms.begin(&self.registry, self.instances)?);
        registrations.standing().await?;
        Ok(registrations)
    }
}

impl IntoFuture for RegisterAll {
    type Output = Result<Registrations, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.register())
    }
}
