//! The client: where it finds the registry, and the thread on which all its work is done.
//!
//! [`Registry`] is the handle; `builder` makes it, `thread` owns the runtime, `workplace` is where
//! tasks are put, [`Register`] starts a
//! registration, and [`RegistryGuard`] waits for the last revokes.

mod asserts;
mod builder;
mod guard;
mod register;
mod thread;
mod workplace;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use builder::RegistryBuilder;
pub use guard::RegistryGuard;
use parking_lot::Mutex;
pub use register::Register;
use tokio::sync::oneshot;
use tracing::Instrument;
use workplace::Workplace;

use crate::error::Error;
use crate::instance::{Instance, check_name};
use crate::registration::driver::Driver;
use crate::registration::machine::Settings;
use crate::registration::outstanding::Outstanding;
use crate::registration::rpc;
use crate::registration::rpc::Keys;
use crate::registration::slot::Slot;
use crate::watch::cache::Cache;
use crate::watch::driver::Driver as WatchDriver;
use crate::watch::{ServiceWatch, WeakServiceWatch};

/// A registry that is spoken to. Clones share one thread and one connection.
///
/// ```no_run
/// use std::time::Duration;
///
/// use registry_client::{Instance, Registry, Selector, Shutdown};
///
/// # async fn main_task() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::builder(["http://127.0.0.1:2379"]).namespace("/prod").build()?;
/// let _guard = registry.guard();
///
/// let instance = Instance::builder("pay").endpoint("grpc", "http://10.0.0.7:9000").build()?;
/// let registration = registry.register(instance).ttl(Duration::from_secs(15)).await?;
///
/// let view = registry.watch("pay").start()?.select(Selector::endpoint("grpc"));
/// view.synced().await?;
///
/// registry_client::shutdown_signal().await;
/// registration.shutdown(Shutdown::new()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: String,
    cache_dir: Option<PathBuf>,
    workplace: Workplace,
    outstanding: Arc<Outstanding>,
    /// The watches that somebody holds, by service.
    watches: Mutex<BTreeMap<String, WeakServiceWatch>>,
}

impl Registry {
    /// Starts with the endpoints of the registry's members, as in `http://10.0.0.1:2379`.
    ///
    /// No others are ever called: members that join later are not looked up, as what they advertise need not be reachable
    /// from here. Names are resolved anew for each connection, so give names that a replaced machine hands on, or
    /// addresses of which one stays.
    pub fn builder<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> RegistryBuilder {
        RegistryBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    /// Asks the registry something, so that a wrong address shows at once. Everything else works without.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// When no endpoint answers, or the registry refuses to.
    pub async fn connect(&self) -> Result<(), Error> {
        let channel = self.shared.workplace.tools.channel.clone();
        let key = format!("{}/services/", self.shared.namespace).into();
        let (tell, told) = oneshot::channel();
        // Who does not wait any more is told nothing.
        self.shared.workplace.spawn(async move { drop(tell.send(rpc::read(&channel, &key).await)) });
        told.await.map_err(|_| Error::Closed)?.map(drop).map_err(|failure| failure.error)
    }

    /// Registers an instance; see [`Register`].
    pub fn register(&self, instance: Instance) -> Register {
        Register::new(self.clone(), instance)
    }

    /// Watches a service; see [`WatchBuilder::start`].
    pub fn watch(&self, service: impl Into<String>) -> WatchBuilder {
        WatchBuilder { registry: self.clone(), service: service.into() }
    }

    /// Waits, when dropped, until the revokes of dropped registrations are out, at most 2 s. Hold one in
    /// `main`, made before the first registration.
    pub fn guard(&self) -> RegistryGuard {
        RegistryGuard::new(Arc::clone(&self.shared.outstanding))
    }

    /// Adds to the process's panic hook: where panics abort, so that nothing is dropped, every registration
    /// of this client is revoked before the process ends, within 2 s. Where panics unwind it does nothing,
    /// as drops revoke.
    pub fn revoke_on_abort(&self) {
        guard::revoke_on_abort(Arc::clone(&self.shared.outstanding));
    }

    /// The namespace, without a `/` at its end.
    pub fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    pub(crate) fn instance_key(&self, instance: &Instance) -> String {
        format!("{}/services/{}/{}", self.shared.namespace, instance.service(), instance.id())
    }

    /// Puts a registration on the SDK's thread; it ends when the slot is closed.
    pub(crate) fn start(&self, instance: Instance, settings: Settings) -> Arc<Slot> {
        let tools = self.shared.workplace.tools.clone();
        let slot = Arc::new(Slot::new(instance.clone(), Arc::clone(&self.shared.outstanding), tools.clock));
        self.shared.outstanding.watch_over(&slot);
        let tombstone = format!("{}/tombstones/{}/{}", self.shared.namespace, instance.service(), instance.id());
        let keys = Keys { instance: settings.key.clone().into(), tombstone: tombstone.into() };
        let span = tracing::info_span!("registration", service = instance.service(), id = instance.id());
        let driver = Driver::new(Arc::clone(&slot), instance, settings, keys, tools);
        self.shared.workplace.spawn(driver.run().instrument(span));
        slot
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("namespace", &self.shared.namespace).finish_non_exhaustive()
    }
}

/// A watch that is to be; see [`Registry::watch`].
#[derive(Debug)]
#[must_use = "nothing is watched until `start`"]
pub struct WatchBuilder {
    registry: Registry,
    service: String,
}

impl WatchBuilder {
    /// The watch of the service, shared with everybody who watches it through the same registry.
    ///
    /// It does not wait for the registry: see [`ServiceWatch::synced`].
    ///
    /// # Errors
    /// When the name cannot be a service's.
    pub fn start(self) -> Result<ServiceWatch, Error> {
        check_name("service", &self.service)?;
        let shared = &self.registry.shared;
        let mut watches = shared.watches.lock();
        if let Some(watch) = watches.get(&self.service).and_then(WeakServiceWatch::upgrade) {
            return Ok(watch);
        }
        watches.retain(|_, watch| watch.upgrade().is_some());
        let service: Arc<str> = self.service.as_str().into();
        // The prefix ends in a slash, so that `pay` never sees `payments`.
        let prefix = format!("{}/services/{}/", shared.namespace, self.service);
        let tools = &shared.workplace.tools;
        let (channel, hub, clock) = (tools.channel.clone(), tools.watches.clone(), tools.clock);
        let cache = shared.cache_dir.as_deref().map(|folder| Cache::new(folder, &prefix, clock));
        let (driver, published) = WatchDriver::new(channel, hub, clock, prefix, Arc::clone(&service), cache);
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let run = async move { stopped.run_until_cancelled(driver.run()).await.unwrap_or_default() };
        shared.workplace.spawn(run.instrument(tracing::info_span!("watch", %service)));
        let watch = ServiceWatch::new(service, published, clock, Some(stop.drop_guard()));
        watches.insert(self.service, watch.downgrade());
        Ok(watch)
    }
}
