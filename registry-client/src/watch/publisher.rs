//! Feeding a watch by hand: what the registry would say, said by a test.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::Published;
use super::snapshot::{Freshness, Snapshot};
use super::table::Table;
use crate::clock::Clock;
use crate::error::Error;
use crate::instance::Instance;

/// Says what the registry would say; the other half of [`super::ServiceWatch::manual`].
///
/// Each call is one revision and one snapshot. Dropping it ends the watch's streams and keeps its last
/// snapshot.
#[derive(Debug)]
pub struct Publisher {
    table: Table,
    freshness: Freshness,
    refused: Option<Error>,
    clock: Clock,
    sender: watch::Sender<Published>,
}

impl Publisher {
    pub(super) fn new(service: Arc<str>, clock: Clock) -> (Self, watch::Receiver<Published>) {
        let (sender, receiver) = watch::channel(Published { snapshot: Arc::new(Snapshot::pending()), refused: None });
        let table = Table::new(service);
        (Self { table, freshness: Freshness::Pending, refused: None, clock, sender }, receiver)
    }

    /// Adds an instance, or changes the one of its id without a new incarnation. Says its revision.
    pub fn put(&mut self, instance: Instance) -> i64 {
        let revision = self.table.revision() + 1;
        self.table.put_instance(instance, revision);
        self.publish(revision)
    }

    /// Registers an instance anew: the same id, another incarnation.
    pub fn put_anew(&mut self, instance: Instance) -> i64 {
        self.table.delete(instance.id().as_bytes());
        self.put(instance)
    }

    /// Takes an instance away, as a confirmed delete does. Says whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let was_there = self.table.delete(id.as_bytes());
        self.publish(self.table.revision() + 1);
        was_there
    }

    /// Puts these instances in the place of all others, in one snapshot.
    pub fn replace(&mut self, instances: impl IntoIterator<Item = Instance>) -> i64 {
        let revision = self.table.revision() + 1;
        let instances: Vec<_> = instances.into_iter().collect();
        let snapshot = self.table.snapshot(self.freshness);
        let gone = |id: &str| !instances.iter().any(|instance| instance.id() == id);
        for known in snapshot.instances().iter().filter(|known| gone(known.id())) {
            self.table.delete(known.id().as_bytes());
        }
        for instance in instances {
            self.table.put_instance(instance, revision);
        }
        self.publish(revision)
    }

    /// The registry is lost: the snapshot turns stale and keeps its instances.
    pub fn lose_registry(&mut self, since: SystemTime) {
        self.freshness = Freshness::Stale { since };
        self.send();
    }

    /// As [`Publisher::lose_registry`], as of now; a watch that was lost before keeps its time.
    pub fn lose_registry_now(&mut self) {
        if !matches!(self.freshness, Freshness::Stale { .. }) {
            self.lose_registry(self.clock.wall_clock());
        }
    }

    /// The registry is there again, and nothing has changed meanwhile.
    pub fn find_registry(&mut self) {
        self.publish(self.table.revision());
    }

    /// The registry refuses the watch, as for a missing permission, until the next thing it says. What is known stays.
    pub fn refuse(&mut self, error: Error) {
        self.refused = Some(error);
        match self.freshness {
            Freshness::Synced => self.lose_registry_now(),
            Freshness::Pending | Freshness::Stale { .. } => self.send(),
        }
    }

    /// The registry is another cluster: its revisions begin anew, and these are its instances.
    pub fn reset(&mut self, instances: impl IntoIterator<Item = Instance>) {
        self.table.reset();
        self.replace(instances);
    }

    fn publish(&mut self, revision: i64) -> i64 {
        self.table.advance(revision);
        self.freshness = Freshness::Synced;
        self.refused = None;
        self.send();
        revision
    }

    fn send(&self) {
        let snapshot = Arc::new(self.table.snapshot(self.freshness));
        self.sender.send_replace(Published { snapshot, refused: self.refused.clone() });
    }
}
