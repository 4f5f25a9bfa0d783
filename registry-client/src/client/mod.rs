//! The client: where it finds the registry, and the thread on which all its work is done.
//!
//! [`Registry`] is the handle; `builder` makes it, `thread` owns the runtime, `workplace` is where
//! tasks are put, [`Register`] starts a
//! registration and [`RegisterAll`] many, on `terms`, and [`RegistryGuard`] waits for the last revokes.

mod asserts;
mod builder;
mod guard;
mod register;
mod register_all;
mod remove;
mod terms;
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
pub use register_all::RegisterAll;
pub use remove::Remove;
use tokio::sync::oneshot;
use tracing::Instrument;
use workplace::Workplace;

use crate::error::Error;
use crate::instance::{Endpoint, Instance, check_name};
use crate::registration::HealthCheck;
use crate::registration::driver::Driver;
use crate::registration::machine::{Keys, Settings};
use crate::registration::outstanding::Outstanding;
use crate::registration::rpc;
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
    /// No others are called, unless [`RegistryBuilder::follow_members`] has members that join later looked up: what they
    /// advertise need not be reachable from here. Names are resolved anew for each connection, so give names that a replaced machine hands on, or
    /// addresses of which one stays.
    pub fn builder<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> RegistryBuilder {
        RegistryBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    /// Starts with a client of the crate [`etcd-client`](etcd_client), for programs that have one: everything the SDK does
    /// goes over that client's connections, and it opens none of its own.
    ///
    /// The client is cloned, and may be used as before. Namespace and cache are set on the builder as ever:
    ///
    /// ```no_run
    /// use etcd_client::{Client, ConnectOptions};
    /// use registry_client::Registry;
    ///
    /// # async fn main_task() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = ConnectOptions::new().with_require_leader(true);
    /// let client = Client::connect(["http://127.0.0.1:2379"], Some(options)).await?;
    /// let registry = Registry::from_etcd_client(client).namespace("/prod").build()?;
    /// let _guard = registry.guard();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What the SDK promises about leases, keys, watches and errors holds: one keep-alive stream and one watch stream, leases
    /// that are granted anew when they are lost, lists after a compaction. When the registry says that a token is no good, in
    /// which of its forms ever, the client is told to log in again, also for streams; a client without a user, where one is
    /// asked for, is a permanent error.
    ///
    /// What is the client's own matter, and is not promised:
    /// - **The runtime.** Its connections live on the runtime on which it was made. While that one is blocked nothing is
    ///   sent, and when it is dropped no lease is kept alive or revoked any more: TTLs are the bound then. Make the client
    ///   on a runtime that outlives the registrations. On a current-thread runtime a [`RegistryGuard`] blocks the very thread
    ///   that has to send what it waits for: await [`crate::Registration::shutdown`] there.
    /// - **Failover.** It shares calls out over its endpoints as it does; a dead one is not left for another by the SDK, and a
    ///   client that has no endpoint left, by `remove_endpoint`, answers nothing. Calls are given up within 5 s all the same.
    /// - **Pings, limits and TLS** are as its `ConnectOptions` say. Without `with_keep_alive` a connection that swallows
    ///   packets is only found out by the silence of calls and streams, and still not left for a new one. A `with_timeout`
    ///   below 5 s cuts calls short.
    /// - **Its user.** Users are changed with `update_user`. etcd 3.4 and 3.5 refuse tokens while authentication is disabled,
    ///   and a client keeps the one that it has: who disables authentication under running clients takes their users
    ///   away, with `update_user(None)`, or else their calls fail until it is enabled again.
    /// - **A leader.** With `with_require_leader(true)` a member without one refuses, as it does the SDK's own
    ///   connections; without, it answers from what it remembers.
    /// - **Endpoints.** They cannot be asked for, so that [`crate::Advertise::route`] finds no way: on a listener on every
    ///   interface set `POD_IP` or name the address.
    ///
    /// Logs and figures call it `etcd-client://handed-over:1`, and count its logins as `not_needed`, as it does not say whether it has a user.
    ///
    /// The feature `etcd-client` is needed, with which building needs `protoc` and the `.proto` files that come with it (Debian:
    /// `protobuf-compiler` and `libprotobuf-dev`).
    #[cfg(feature = "etcd-client")]
    pub fn from_etcd_client(client: etcd_client::Client) -> RegistryBuilder {
        RegistryBuilder::handed_over(client)
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

    /// Registers many instances under one lease, all or none; see [`RegisterAll`].
    ///
    /// For a process that stands for many instances, of one service or of several. They live and end together,
    /// so that instances which end one by one are better registered one by one.
    pub fn register_all(&self, instances: impl IntoIterator<Item = Instance>) -> RegisterAll {
        RegisterAll::new(self.clone(), instances.into_iter().collect())
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

    /// How many tasks this client has at work on its thread: a few for its streams and logins, one for each registration and
    /// each watch, and those of calls under way. What ended has none, so that tests and graphs can show that nothing is left.
    pub fn tasks(&self) -> usize {
        self.shared.workplace.tasks()
    }

    /// The namespace, without a `/` at its end.
    pub fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    /// Where the registry is.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        self.shared.workplace.tools.channel.endpoints()
    }

    /// The keys of an instance of that name.
    fn keys(&self, service: &str, id: &str) -> Keys {
        let key = |kind| format!("{}/{kind}/{service}/{id}", self.shared.namespace).into();
        Keys { instance: key("services"), tombstone: key("tombstones") }
    }

    /// Puts a registration of these instances on the SDK's thread; it ends when the slot is closed.
    fn start(
        &self,
        instances: Vec<Instance>,
        mut settings: Settings,
        health: Option<HealthCheck>,
    ) -> Result<Arc<Slot>, Error> {
        let health = health.map(HealthCheck::checked).transpose()?;
        settings.gated = health.is_some();
        let with_keys = |instance: Instance| (self.keys(instance.service(), instance.id()), Arc::new(instance));
        let mut instances: Vec<_> = instances.into_iter().map(with_keys).collect();
        instances.sort_by(|(a, _), (b, _)| a.instance.cmp(&b.instance));
        if let Some(twice) = instances.windows(2).find(|pair| pair[0].0.instance == pair[1].0.instance) {
            let twice = &twice[0].1;
            let text = format!("{}/{} is given twice: give each instance once", twice.service(), twice.id());
            return Err(Error::Setting(text));
        }
        let tools = self.shared.workplace.tools.clone();
        let values = instances.iter().map(|(_, instance)| Arc::clone(instance)).collect();
        let slot = Arc::new(Slot::new(values, Arc::clone(&self.shared.outstanding), tools.clock));
        self.shared.outstanding.watch_over(&slot);
        let span = match instances.as_slice() {
            [(_, one)] => tracing::info_span!("registration", service = one.service(), id = one.id()),
            many => tracing::info_span!("registration", instances = many.len()),
        };
        let driver = Driver::new(Arc::clone(&slot), instances, settings, health, tools);
        self.shared.workplace.spawn(driver.run().instrument(span));
        Ok(slot)
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
