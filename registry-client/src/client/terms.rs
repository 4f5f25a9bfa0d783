//! On which terms instances are registered: what one registration and many at once have in common.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::error::Error;
use crate::instance::Instance;
use crate::registration::machine::{Batch, Settings};
use crate::registration::slot::Slot;
use crate::registration::{Conflict, HealthCheck};

/// What is asked for unless [`super::Register::ttl`] says otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(15);
/// etcd's largest TTL.
pub(super) const LONGEST_TTL: Duration = Duration::from_secs(9_000_000_000);

/// The settings, each with its own setter in [`super::Register`] and [`super::RegisterAll`].
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) ttl: Duration,
    pub(super) conflict: Conflict,
    pub(super) health: Option<HealthCheck>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { ttl: DEFAULT_TTL, conflict: Conflict::default(), health: None }
    }
}

impl Terms {
    /// Has the SDK's thread begin, if the settings make sense.
    pub(super) fn begin(self, registry: &Registry, instances: Vec<Instance>) -> Result<Arc<Slot>, Error> {
        let Self { ttl, conflict, health } = self;
        if ttl < Duration::from_secs(1) || ttl > LONGEST_TTL {
            return Err(Error::Setting(format!("a TTL of {ttl:?}: give one from 1 s to 9,000,000,000 s")));
        }
        let settings = Settings { ttl, conflict, gated: false, seed: fastrand::u64(..), batch: Batch::default() };
        registry.start(instances, settings, health)
    }
}
