//! `remove`: an instance is taken out of the registry against its process's will, and may be let back.

use std::time::Duration;

use clap::Args as ClapArgs;
use registry_client::{Instance, Registry};
use serde_json::json;

use super::registry::{Namespace, ttl};
use super::within;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{List, plain, print};
use crate::sdk;

const EXAMPLES: &str = "\
Examples:
  registryctl remove pay 7f3a --reason 'disk is dying'
  registryctl remove pay 7f3a --lasting 2h
  registryctl instances pay --removed
  registryctl remove pay 7f3a --undo

A tombstone stands in its place, so that its process does not register it again as long as that lasts. The tombstone
has a lease of its own and goes with it.";

/// Takes an instance out of the registry, and keeps it away.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Remove {
    /// The service's name.
    service: String,
    /// The instance's id.
    instance: String,
    /// For how long it is kept away, in seconds or as in 2h.
    #[arg(long, default_value = "24h", value_parser = ttl, conflicts_with = "undo")]
    lasting: Duration,
    /// Why, for whoever looks.
    #[arg(long, conflicts_with = "undo")]
    reason: Option<String>,
    /// Let it back: a process that is still there registers again within seconds.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    namespace: Namespace,
}

impl Remove {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        // A name that can be none is no reason to ask anybody.
        let checked = Instance::builder(&self.service).id(&self.instance).build();
        checked.map_err(|error| sdk::failed(registry_client::Error::from(error)))?;
        let registry = sdk::registry(global, self.namespace.prefix()).await?;
        let outcome = within(global, async {
            if self.undo { self.restore(&registry).await } else { self.remove(&registry).await }
        });
        let outcome = outcome.await?;
        let json = json!({"service": self.service, "id": self.instance, "outcome": outcome});
        let row = vec![self.service.clone(), self.instance.clone(), outcome.to_owned()];
        print(global, &List::new(&["SERVICE", "ID", "OUTCOME"], vec![row], json))
    }

    async fn remove(&self, registry: &Registry) -> Result<&'static str, CtlError> {
        let mut remove = registry.remove(&self.service, &self.instance).lasting(self.lasting);
        if let Some(reason) = &self.reason {
            remove = remove.reason(reason);
        }
        let stood = remove.await.map_err(sdk::failed)?;
        Ok(if stood { "removed" } else { "kept away, and was not there" })
    }

    async fn restore(&self, registry: &Registry) -> Result<&'static str, CtlError> {
        if registry.restore(&self.service, &self.instance).await.map_err(sdk::failed)? {
            return Ok("let back");
        }
        let removed = registry.removed(&self.service).await.map_err(sdk::failed)?;
        let ids: Vec<_> = removed.iter().take(10).map(|removed| plain(&removed.id)).collect();
        let others = if ids.is_empty() {
            "nor is any other of the service".to_owned()
        } else {
            format!("but {}", ids.join(", "))
        };
        let text = format!("{}/{} is not kept away, {others}", self.service, self.instance);
        Err(CtlError::Registry(text))
    }
}
