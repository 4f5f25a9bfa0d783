//! The part of a service that a client wants to talk to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::filter::Filter;
use super::policy::{EmptyPolicy, LossPolicy, Policies};
use super::selector::Selector;
use super::snapshot::{Discovered, Snapshot};
use super::{Changes, ServiceWatch};
use crate::error::Error;
use crate::instance::Endpoint;

/// A watch seen through a [`Selector`]. Clones look at the same watch.
#[derive(Clone)]
pub struct View {
    watch: ServiceWatch,
    selector: Arc<Selector>,
    policies: Policies,
    filter: Arc<Mutex<Filter>>,
}

impl View {
    pub(super) fn new(watch: ServiceWatch, selector: Selector) -> Self {
        Self { watch, selector: Arc::new(selector), policies: Policies::default(), filter: Arc::default() }
    }

    /// What to show when no selected instance is left; [`EmptyPolicy::Follow`] unless given.
    #[must_use]
    pub fn on_empty(mut self, policy: EmptyPolicy) -> Self {
        self.policies.empty = policy;
        self.filter = Arc::default();
        self
    }

    /// What to show when a large share of the selected instances vanishes at once; [`LossPolicy::Follow`] unless given.
    #[must_use]
    pub fn on_mass_loss(mut self, policy: LossPolicy) -> Self {
        self.policies.loss = policy;
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
        self.selector.endpoint_name()
    }

    /// The instances of a snapshot that are selected, each with the selected endpoint.
    pub fn endpoints<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (Arc<Discovered>, &'a Endpoint)> + 'a {
        let selected = snapshot.instances().iter().filter(|found| self.selector.matches(found));
        selected.filter_map(|found| Some((Arc::clone(found), found.endpoint(self.selector.endpoint_name())?)))
    }

    /// What is shown of a snapshot, and until when on the boot-time clock, if that ends by itself.
    pub(super) fn filter(&self, whole: &Arc<Snapshot>) -> (Arc<Snapshot>, Option<Duration>) {
        let clock = self.watch.clock();
        let now = (clock.boot_time(), clock.wall_clock());
        self.filter.lock().show(whole, self.policies, now, |whole| {
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
