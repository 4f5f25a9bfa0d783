//! Building a client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::workplace::Workplace;
use super::{Registry, Shared};
use crate::channel::Channel;
use crate::error::Error;
use crate::instance::{Endpoint, is_readable};
use crate::registration::outstanding::Outstanding;

/// Gathers what a [`Registry`] needs; see [`Registry::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct RegistryBuilder {
    endpoints: Vec<String>,
    namespace: String,
    cache_dir: Option<PathBuf>,
}

impl RegistryBuilder {
    pub(super) fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, namespace: String::new(), cache_dir: None }
    }

    /// What every key begins with, as in `/prod`; nothing unless given. A `/` at its end is left out.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// A folder of this program's own, in which the last known instances of each watched service are kept
    /// for a start while the registry is down; none unless given.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// The client. It connects when there is something to say, so that this works while the registry is
    /// down.
    ///
    /// # Errors
    /// When there is no endpoint or one that is not `http://host:port`, when the namespace holds white space or
    /// control characters, or no thread can be started.
    pub fn build(self) -> Result<Registry, Error> {
        let channel = Channel::new(self.checked()?);
        let outstanding = Arc::new(Outstanding::default());
        let workplace = Workplace::on_thread(channel, Arc::clone(&outstanding))?;
        Ok(self.on(workplace, outstanding))
    }

    /// The client in a simulation, by the clock of the runtime that this is called on. It has no thread: all
    /// that it ever runs goes through `spawn`, and dropping those tasks is the process's death, after which it
    /// sends nothing and its handles only say that they are closed. Guards wait for nothing.
    ///
    /// # Errors
    /// As [`RegistryBuilder::build`], and when a folder for a cache is given: files would go around the simulation.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    pub fn build_simulated(
        self,
        connector: Arc<dyn crate::simulation::Connector>,
        spawn: crate::simulation::Spawn,
    ) -> Result<Registry, Error> {
        if self.cache_dir.is_some() {
            return Err(Error::Setting("a simulated client has no cache on disk".to_owned()));
        }
        let channel = Channel::over(connector, self.checked()?);
        let outstanding = Arc::new(Outstanding::default());
        // Waiting would block the one thread that everything runs on.
        outstanding.abandon();
        Ok(self.on(Workplace::given(channel, spawn), outstanding))
    }

    /// The endpoints, if all settings make sense.
    fn checked(&self) -> Result<Vec<Endpoint>, Error> {
        let endpoints: Vec<_> = self.endpoints.iter().map(|text| Endpoint::parse(text)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::Setting("no endpoint: give at least one, as in http://10.0.0.1:2379".to_owned()));
        }
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.scheme() != "http") {
            return Err(Error::Setting(format!("{endpoint}: only http is spoken; give an http:// address")));
        }
        if !is_readable(&self.namespace) {
            let text = format!("the namespace {:?} must be without white space and control characters", self.namespace);
            return Err(Error::Setting(text));
        }
        Ok(endpoints)
    }

    fn on(self, workplace: Workplace, outstanding: Arc<Outstanding>) -> Registry {
        let namespace = self.namespace.trim_end_matches('/').to_owned();
        let watches = Mutex::new(BTreeMap::new());
        let shared = Shared { namespace, cache_dir: self.cache_dir, workplace, outstanding, watches };
        Registry { shared: Arc::new(shared) }
    }
}
