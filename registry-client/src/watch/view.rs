//! The part of a service that a client wants to talk to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::empty::{EmptyPolicy, Filter};
use super::snapshot::{Discovered, Snapshot};
use super::{Changes, ServiceWatch};
use crate::error::Error;
use crate::instance::{Endpoint, Instance, Status};

/// Which instances of a service are wanted, and which of their endpoints.
///
/// ```
/// use registry_client::Selector;
///
/// let selector = Selector::endpoint("grpc").tag("stable").zone("a");
/// # let _ = selector;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a selector does nothing until it is given to `ServiceWatch::select`"]
pub struct Selector {
    endpoint: String,
    statuses: Vec<Status>,
    tags: BTreeSet<String>,
    zone: Option<String>,
    version: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Selector {
    /// Instances that are [`Status::Up`] and have an endpoint of that name.
    pub fn endpoint(name: impl Into<String>) -> Self {
        Self {
            endpoint: name.into(),
            statuses: vec![Status::Up],
            tags: BTreeSet::new(),
            zone: None,
            version: None,
            metadata: Vec::new(),
        }
    }

    /// Only instances that carry the tag; several tags must all be there.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.insert(tag.into());
        self
    }

    /// Only instances of that zone.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Only instances of that version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Only instances whose metadata has that entry.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Instances of these statuses, instead of those that are up.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = Status>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Whether the instance is wanted.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.statuses.contains(&instance.status())
            && instance.endpoint(&self.endpoint).is_some()
            && self.tags.is_subset(instance.tags())
            && self.zone.as_deref().is_none_or(|zone| instance.zone() == Some(zone))
            && self.version.as_deref().is_none_or(|version| instance.version() == Some(version))
            && self.metadata.iter().all(|(key, value)| instance.metadata().get(key) == Some(value))
    }
}

/// A watch seen through a [`Selector`]. Clones look at the same watch.
#[derive(Clone)]
pub struct View {
    watch: ServiceWatch,
    selector: Arc<Selector>,
    policy: EmptyPolicy,
    filter: Arc<Mutex<Filter>>,
}

impl View {
    pub(super) fn new(watch: ServiceWatch, selector: Selector) -> Self {
        Self { watch, selector: Arc::new(selector), policy: EmptyPolicy::default(), filter: Arc::default() }
    }

    /// What to show when no selected instance is left; [`EmptyPolicy::Follow`] unless given.
    #[must_use]
    pub fn on_empty(mut self, policy: EmptyPolicy) -> Self {
        self.policy = policy;
        self.filter = Arc::default();
        self
    }

    /// As [`ServiceWatch::synced`].
    ///
    /// # Errors
    /// When the registry refuses the watch, or what feeds it has ended.
    pub async fn synced(&self) -> Result<(), Error> {
        self.watch.synced().await
    }

    /// The instances that the selector lets through, as the watch knows them now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.filter(&self.watch.snapshot()).0
    }

    /// As [`ServiceWatch::changes`]; what changes nothing among the selected instances is left out.
    pub fn changes(&self) -> Changes {
        Changes::new(self.watch.clone(), Some(self.clone()))
    }

    /// The watch behind the view.
    pub fn watch(&self) -> &ServiceWatch {
        &self.watch
    }

    /// The selected endpoint's name.
    pub fn endpoint_name(&self) -> &str {
        &self.selector.endpoint
    }

    /// The instances of a snapshot that are selected, each with the selected endpoint.
    pub fn endpoints<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (Arc<Discovered>, &'a Endpoint)> + 'a {
        let selected = snapshot.instances().iter().filter(|found| self.selector.matches(found));
        selected.filter_map(|found| Some((Arc::clone(found), found.endpoint(&self.selector.endpoint)?)))
    }

    /// What is shown of a snapshot, and until when on the boot-time clock, if that ends by itself.
    pub(super) fn filter(&self, whole: &Arc<Snapshot>) -> (Arc<Snapshot>, Option<Duration>) {
        let clock = self.watch.clock();
        let now = (clock.boot_time(), clock.wall_clock());
        self.filter.lock().show(whole, self.policy, now, |whole| {
            let instances = whole.instances.iter().filter(|found| self.selector.matches(found)).cloned().collect();
            Snapshot { instances, ..whole.clone() }
        })
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("View");
        debug.field("service", &self.watch.service()).field("selector", &self.selector).finish_non_exhaustive()
    }
}
