//! A service whose instances a test says: no server, no network.

use std::fmt;

use parking_lot::Mutex;
use registry_client::{Error, Instance, InstanceError, Publisher, Selector, ServiceWatch, Status, View};

/// A service for tests; see the [crate's](crate) front page.
///
/// Everything that it is told shows in the watches and views it has given at once, each as one snapshot. It may be
/// shared between tasks. Dropping it ends the streams of its watches, which keep their last snapshot.
///
/// Views hold instances by tokio's clock, so that a policy is tested in no time:
///
/// ```
/// use std::time::Duration;
///
/// use registry_client::EmptyPolicy;
/// use registry_testing::FakeDiscovery;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// tokio::time::pause();
/// let pay = FakeDiscovery::new("pay");
/// let view = pay.view("grpc").on_empty(EmptyPolicy::Hold(Duration::from_secs(60)));
/// pay.up("a", "grpc", "http://10.0.0.7:9000")?;
/// assert_eq!(view.snapshot().instances().len(), 1);
/// pay.vanish("a")?;
/// assert_eq!(view.snapshot().held(), 1);
/// tokio::time::advance(Duration::from_secs(60)).await;
/// assert!(view.snapshot().instances().is_empty());
/// # Ok(())
/// # }
/// ```
pub struct FakeDiscovery {
    watch: ServiceWatch,
    publisher: Mutex<Publisher>,
}

/// An instance that the fake was never told of, or that has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownInstance(String);

impl fmt::Display for UnknownInstance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no instance {:?}: `up` or `put` it first", self.0)
    }
}

impl std::error::Error for UnknownInstance {}

impl FakeDiscovery {
    /// A service about which nothing is known yet: its watches are synced with the first thing that is said.
    pub fn new(service: &str) -> Self {
        let (watch, publisher) = ServiceWatch::manual(service);
        Self { watch, publisher: Mutex::new(publisher) }
    }

    /// The watch, as `Registry::watch` gives one.
    pub fn watch(&self) -> ServiceWatch {
        self.watch.clone()
    }

    /// A view of the instances that are up and have an endpoint of that name. For others, select from
    /// [`FakeDiscovery::watch`].
    pub fn view(&self, endpoint: &str) -> View {
        self.watch.select(Selector::endpoint(endpoint))
    }

    /// Adds an instance that is up, with one endpoint.
    ///
    /// # Errors
    /// When the id or the address cannot be one.
    pub fn up(&self, id: &str, endpoint: &str, address: &str) -> Result<(), InstanceError> {
        let instance = Instance::builder(self.watch.service()).id(id).endpoint(endpoint, address).build()?;
        self.put(instance);
        Ok(())
    }

    /// Adds an instance, or changes the one of its id, which stays the same incarnation.
    pub fn put(&self, instance: Instance) {
        self.publisher.lock().put(instance);
    }

    /// Puts these in the place of all others, in one snapshot.
    pub fn replace(&self, instances: impl IntoIterator<Item = Instance>) {
        self.publisher.lock().replace(instances);
    }

    /// Changes an instance as its owner does under the same registration: its weight, status, address, tags.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Instance)) -> Result<(), UnknownInstance> {
        let mut instance = self.find(id)?;
        change(&mut instance);
        self.put(instance);
        Ok(())
    }

    /// Gives an instance another share of the traffic.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn set_weight(&self, id: &str, weight: u32) -> Result<(), UnknownInstance> {
        self.update(id, |instance| instance.set_weight(weight))
    }

    /// Says whether an instance wants traffic.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn set_status(&self, id: &str, status: Status) -> Result<(), UnknownInstance> {
        self.update(id, |instance| instance.set_status(status))
    }

    /// An instance crashed and is registered anew under its id: another incarnation.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn restart(&self, id: &str) -> Result<(), UnknownInstance> {
        let instance = self.find(id)?;
        self.publisher.lock().put_anew(instance);
        Ok(())
    }

    /// An instance's lease expires without a word, which a view's policy may doubt.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn vanish(&self, id: &str) -> Result<(), UnknownInstance> {
        if self.publisher.lock().remove(id) { Ok(()) } else { Err(UnknownInstance(id.to_owned())) }
    }

    /// An instance leaves in order: it is seen draining, and then its lease is revoked.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn leave(&self, id: &str) -> Result<(), UnknownInstance> {
        self.set_status(id, Status::Draining)?;
        self.vanish(id)
    }

    /// The registry is lost: snapshots turn stale and keep their instances.
    pub fn lose_registry(&self) {
        self.publisher.lock().lose_registry_now();
    }

    /// The registry is there again and says that nothing has changed. Anything else that is said does the same.
    pub fn find_registry(&self) {
        self.publisher.lock().find_registry();
    }

    /// The registry refuses the watch, as for a missing permission, until it says something again.
    pub fn refuse(&self, error: Error) {
        self.publisher.lock().refuse(error);
    }

    /// The registry turns out to be another cluster, which has these instances: a step of `Snapshot::resets`.
    pub fn reset(&self, instances: impl IntoIterator<Item = Instance>) {
        self.publisher.lock().reset(instances);
    }

    fn find(&self, id: &str) -> Result<Instance, UnknownInstance> {
        let snapshot = self.watch.snapshot();
        let found = snapshot.instance(id).ok_or_else(|| UnknownInstance(id.to_owned()))?;
        Ok(found.instance.clone())
    }
}

impl fmt::Debug for FakeDiscovery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FakeDiscovery").field("watch", &self.watch).finish_non_exhaustive()
    }
}
