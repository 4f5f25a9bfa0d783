//! What is registered: an instance of a service and where it listens.
//!
//! [`Endpoint`] is one address; [`Instance`] is one running copy of a service with its named endpoints;
//! `record` is the JSON that stands in the registry. An [`Instance`] is always valid: the builder and the
//! decoder refuse what could not be put under a key or connected to.

mod builder;
mod endpoint;
mod record;

use std::collections::{BTreeMap, BTreeSet};

pub use builder::{InstanceBuilder, InstanceError};
pub(crate) use builder::{check_name, is_readable};
pub use endpoint::{Endpoint, EndpointError};
use indexmap::IndexMap;
pub use record::RecordError;
use serde::{Deserialize, Serialize};

/// The weight of an instance that names none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// Whether an instance wants traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It is there, but not ready for requests yet.
    Starting,
    /// It takes requests.
    #[default]
    Up,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It is there and says itself that it cannot serve.
    Down,
    /// A status that a newer SDK wrote; never balanced over.
    #[serde(other)]
    Unknown,
}

/// One running copy of a service.
///
/// ```
/// use registry_client::Instance;
///
/// let instance = Instance::builder("pay")
///     .endpoint("grpc", "http://10.0.0.7:9000")
///     .zone("a")
///     .tag("stable")
///     .build()?;
/// assert_eq!(instance.endpoint("grpc").map(|endpoint| endpoint.port()), Some(9000));
/// assert_eq!(instance.weight(), 100);
/// # Ok::<(), registry_client::InstanceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    service: String,
    id: String,
    status: Status,
    endpoints: IndexMap<String, Endpoint>,
    version: Option<String>,
    zone: Option<String>,
    weight: u32,
    tags: BTreeSet<String>,
    metadata: BTreeMap<String, String>,
    /// Fields of the record that this SDK does not know; they are written back as they came.
    extra: serde_json::Map<String, serde_json::Value>,
}

impl Instance {
    /// Starts an instance of `service`, with a random id unless one is given.
    pub fn builder(service: impl Into<String>) -> InstanceBuilder {
        InstanceBuilder::new(service.into())
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What tells this instance from the others of its service.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it wants traffic.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The named endpoints, in the order in which they were given.
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = (&str, &Endpoint)> {
        self.endpoints.iter().map(|(name, endpoint)| (name.as_str(), endpoint))
    }

    /// The endpoint called `name`.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.get(name)
    }

    /// The version of the program, as it calls itself.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The failure domain in which it runs.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Its share of the traffic relative to the others; [`DEFAULT_WEIGHT`] unless given.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Words to select by.
    pub fn tags(&self) -> &BTreeSet<String> {
        &self.tags
    }

    /// What else there is to say, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Says whether it wants traffic.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
    }

    /// Names the program's version.
    pub fn set_version(&mut self, version: impl Into<String>) {
        self.version = Some(version.into());
    }

    /// Moves it to another failure domain.
    pub fn set_zone(&mut self, zone: impl Into<String>) {
        self.zone = Some(zone.into());
    }

    /// Changes its share of the traffic.
    pub fn set_weight(&mut self, weight: u32) {
        self.weight = weight;
    }

    /// Adds a word to select by.
    pub fn add_tag(&mut self, tag: impl Into<String>) {
        self.tags.insert(tag.into());
    }

    /// Takes a word away.
    pub fn remove_tag(&mut self, tag: &str) {
        self.tags.remove(tag);
    }

    /// Sets one entry of the metadata.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// Adds or replaces the endpoint called `name`.
    pub fn set_endpoint(&mut self, name: impl Into<String>, endpoint: Endpoint) {
        self.endpoints.insert(name.into(), endpoint);
    }
}
