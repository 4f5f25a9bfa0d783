//! What a watch knows at one revision. Snapshots never change; a new one replaces the old.

use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use crate::instance::Instance;

/// Whether a snapshot is what the registry says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// Nothing is known yet.
    Pending,
    /// The registry is connected, and every change it told is in.
    Synced,
    /// The registry is away; these are the instances it told last.
    Stale {
        /// When it was lost, by the wall clock; for instances from the disk cache, when that was written.
        since: SystemTime,
    },
}

/// An instance as it stands in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovered {
    /// What was registered.
    pub instance: Instance,
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
}

impl Discovered {
    /// Which registration of the id this is: the revision at which its key was created. An instance that
    /// went and came back under the same id has another.
    pub fn incarnation(&self) -> i64 {
        self.create_revision
    }

    /// The revision at which it changed last.
    pub fn mod_revision(&self) -> i64 {
        self.mod_revision
    }
}

impl Deref for Discovered {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

/// The instances of a service at one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub(super) revision: i64,
    pub(super) freshness: Freshness,
    pub(super) instances: Vec<Arc<Discovered>>,
    pub(super) undecodable: usize,
    pub(super) resets: u64,
    /// The registry's; 0 for one that is fed by hand.
    pub(super) cluster_id: u64,
    pub(super) held: usize,
}

impl Snapshot {
    pub(super) fn pending() -> Self {
        Self {
            revision: 0,
            freshness: Freshness::Pending,
            instances: Vec::new(),
            undecodable: 0,
            resets: 0,
            cluster_id: 0,
            held: 0,
        }
    }

    /// The registry's revision up to which every change is in. It goes backwards only together with a
    /// step of [`Snapshot::resets`].
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether it is what the registry says now.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The instances, in the order of their ids.
    pub fn instances(&self) -> &[Arc<Discovered>] {
        &self.instances
    }

    /// The instance of that id.
    pub fn instance(&self, id: &str) -> Option<&Arc<Discovered>> {
        let place = self.instances.binary_search_by(|found| found.id().cmp(id)).ok()?;
        Some(&self.instances[place])
    }

    /// How many of the instances are not in the registry any more and shown all the same, as a view's
    /// [`super::EmptyPolicy`] or [`super::LossPolicy`] says.
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many records under the service's prefix this SDK could not read: the id or the record is no UTF-8,
    /// the record is no JSON, a field has another type, its format is newer, an endpoint cannot be dialled.
    ///
    /// Such a record is skipped, with a warning in the log that names service, id and reason, and the watch
    /// goes on. One that became unreadable stands among the instances as it was last read.
    pub fn undecodable(&self) -> usize {
        self.undecodable
    }

    /// How many times the registry turned out to be another cluster, whose revisions start anew.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// The same instances (the very same, not equal ones), as fresh and of the same history.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.freshness == other.freshness
            && self.resets == other.resets
            && self.undecodable == other.undecodable
            && self.held == other.held
            && self.instances.len() == other.instances.len()
            && self.instances.iter().zip(&other.instances).all(|(left, right)| Arc::ptr_eq(left, right))
    }
}
