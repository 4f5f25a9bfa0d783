//! How a service is found: the list of its instances, kept current.
//!
//! [`ServiceWatch`] is the shared watch of one service; [`Snapshot`] is what it knows at one revision;
//! [`View`] is the part of it that a [`Selector`] lets through; [`Changes`] is the stream of snapshots.
//! `table` holds the instances between events, `cache` keeps them on disk, `policy`
//! and `filter` say what a view shows when many vanish or none is left. A snapshot's instances go only when the registry said so:
//! losing the registry makes a snapshot stale and nothing else.

pub(crate) mod cache;
mod changes;
pub(crate) mod driver;
mod filter;
mod fragments;
pub(crate) mod hub;
pub(crate) mod list;
mod policy;
mod publisher;
mod selector;
mod snapshot;
pub(crate) mod span;
mod table;
mod view;

use std::fmt;
use std::sync::{Arc, Weak};

pub use changes::Changes;
pub use policy::{EmptyPolicy, LossPolicy};
pub use publisher::Publisher;
pub use selector::Selector;
pub use snapshot::{Discovered, Freshness, Snapshot};
use tokio::sync::watch;
pub use view::View;

use crate::clock::Clock;
use crate::error::Error;

/// What a watch hands to those who look: the newest snapshot, and why there is none if that is final.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The registry refuses the watch for good, as far as it says.
    pub(crate) refused: Option<Error>,
}

/// The shared watch of one service. Clones look at the same watch; it ends with the last of them.
///
/// ```
/// use registry_client::{Instance, ServiceWatch};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (watch, mut publisher) = ServiceWatch::manual("pay");
/// publisher.put(Instance::builder("pay").endpoint("grpc", "http://10.0.0.7:9000").build()?);
/// watch.synced().await?;
/// assert_eq!(watch.snapshot().instances().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServiceWatch {
    shared: Arc<Shared>,
}

struct Shared {
    service: Arc<str>,
    published: watch::Receiver<Published>,
    clock: Clock,
    /// Ends what feeds the watch, when dropped.
    _feeder: Option<tokio_util::sync::DropGuard>,
}

impl ServiceWatch {
    /// A watch that is fed by hand, for tests that have no registry.
    ///
    /// It is synced with the first thing the [`Publisher`] says, and its streams end with the publisher. The time of
    /// what its views hold is tokio's, so that a test may pause and advance it.
    pub fn manual(service: &str) -> (Self, Publisher) {
        let clock = Clock::of_tests();
        let (publisher, published) = Publisher::new(service.into(), clock);
        (Self::new(service.into(), published, clock, None), publisher)
    }

    pub(crate) fn new(
        service: Arc<str>,
        published: watch::Receiver<Published>,
        clock: Clock,
        feeder: Option<tokio_util::sync::DropGuard>,
    ) -> Self {
        Self { shared: Arc::new(Shared { service, published, clock, _feeder: feeder }) }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.shared.service
    }

    /// Waits until the instances are known for the first time, from the registry or from the disk cache.
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// When the registry refuses the watch, as for a missing permission, or what feeds the watch has ended.
    pub async fn synced(&self) -> Result<(), Error> {
        let mut published = self.shared.published.clone();
        let settled = |now: &Published| now.refused.is_some() || now.snapshot.freshness() != Freshness::Pending;
        let now = published.wait_for(settled).await.map_err(|_| Error::Closed)?;
        if now.snapshot.freshness() != Freshness::Pending {
            return Ok(());
        }
        now.refused.clone().map_or(Ok(()), Err)
    }

    /// The newest snapshot; empty and [`Freshness::Pending`] before the first.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.published.borrow().snapshot)
    }

    /// Why the registry refuses the watch, if it does at present.
    pub fn refused(&self) -> Option<Error> {
        self.shared.published.borrow().refused.clone()
    }

    /// The snapshots from now on: first the current one, once synced, then the newest whenever there is
    /// one. What comes while nobody polls is conflated, never queued.
    pub fn changes(&self) -> Changes {
        Changes::new(self.clone(), None)
    }

    /// The part of the service that `selector` lets through.
    pub fn select(&self, selector: Selector) -> View {
        View::new(self.clone(), selector)
    }

    pub(crate) fn downgrade(&self) -> WeakServiceWatch {
        WeakServiceWatch(Arc::downgrade(&self.shared))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(crate) fn published(&self) -> watch::Receiver<Published> {
        self.shared.published.clone()
    }
}

/// Knows a watch without keeping it.
pub(crate) struct WeakServiceWatch(Weak<Shared>);

impl WeakServiceWatch {
    pub(crate) fn upgrade(&self) -> Option<ServiceWatch> {
        self.0.upgrade().map(|shared| ServiceWatch { shared })
    }
}

impl fmt::Debug for ServiceWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        formatter.debug_struct("ServiceWatch").field("service", &self.service()).field("snapshot", &snapshot).finish()
    }
}
