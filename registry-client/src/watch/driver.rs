//! Keeps a service's watch current: list, watch from there, and list again when history has a gap.
//!
//! Losing the registry changes nothing but the snapshot's freshness; it comes back by watching on from
//! the revision that was reached, so that a registry that returns is not asked for everything at once.

use std::sync::Arc;

use registry_proto::mvccpb::Event;
use registry_proto::mvccpb::event::EventType;
use tokio::sync::watch;

use super::Published;
use super::cache::Cache;
use super::fragments::Fragments;
use super::hub::{Message, Watch, WatchHub};
use super::list::{Listing, list};
use super::snapshot::{Freshness, Snapshot};
use super::span::Span;
use super::table::{Entry, Table};
use crate::backoff::Delays;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::error::Error;
use crate::meters::WatchMeter;

/// Answers that become one snapshot, at most, when they come faster than they are taken in.
const CONFLATED: usize = 16;

/// Why a watch is over.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The stream is gone: watch on from where we are.
    Lost(Error),
    /// Nothing is wrong; watch on from where we are.
    Moved,
    /// Events are missing, or the registry may be another one.
    Gap,
    /// The registry does not let us watch.
    Refused(Error),
}

pub(crate) struct Driver {
    channel: Channel,
    hub: WatchHub,
    clock: Clock,
    prefix: String,
    table: Table,
    freshness: Freshness,
    refused: Option<Error>,
    cache: Option<Cache>,
    sender: watch::Sender<Published>,
    meter: WatchMeter,
}

impl Driver {
    pub(crate) fn new(
        channel: Channel,
        hub: WatchHub,
        clock: Clock,
        prefix: String,
        service: Arc<str>,
        cache: Option<Cache>,
    ) -> (Self, watch::Receiver<Published>) {
        let (sender, published) = watch::channel(Published { snapshot: Arc::new(Snapshot::pending()), refused: None });
        let meter = WatchMeter::new(Arc::clone(&service));
        let table = Table::new(service);
        let freshness = Freshness::Pending;
        let driver = Self { channel, hub, clock, prefix, table, freshness, refused: None, cache, sender, meter };
        (driver, published)
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        match self.cache.take() {
            None => self.follow_registry().await,
            Some(cache) => {
                self.load(&cache).await;
                let published = self.sender.subscribe();
                tokio::join!(self.follow_registry(), cache.keep(published));
            }
        }
    }

    /// Until the registry answers, what it said to an earlier process is better than nothing.
    async fn load(&mut self, cache: &Cache) {
        if let Some(loaded) = cache.load(&mut self.table).await {
            self.table.set_cluster_id(loaded.cluster_id);
            self.freshness = Freshness::Stale { since: loaded.since };
            self.publish();
        }
    }

    async fn follow_registry(&mut self) {
        let span = Span::prefix(&self.prefix);
        let mut pauses = Delays::random();
        let mut listed = false;
        loop {
            if !listed {
                match list(&self.channel, &span).await {
                    Ok(listing) => self.take_listing(&listing),
                    Err(error) => {
                        self.lose(error);
                        tokio::time::sleep(pauses.next()).await;
                        continue;
                    }
                }
            }
            let watch = self.hub.watch(span.clone(), self.table.revision() + 1).await;
            let (end, created) = self.follow(watch).await;
            if created {
                pauses = Delays::random();
            }
            if matches!(end, End::Gap) {
                self.meter.resync();
            }
            listed = matches!(end, End::Lost(_) | End::Moved);
            if let End::Lost(error) | End::Refused(error) = end {
                self.lose(error);
            }
            tokio::time::sleep(pauses.next()).await;
        }
    }

    /// Takes events in until the watch is over; says why, and whether it had begun.
    async fn follow(&mut self, mut watch: Watch) -> (End, bool) {
        let mut created = false;
        let mut fragments = Fragments::default();
        let mut unpublished = 0;
        while let Some(message) = watch.next().await {
            match message {
                Message::Created { cluster_id, revision } => {
                    // A lower revision is a member that lags, or a registry restored from a backup; only a
                    // list, which is linearizable, tells which.
                    if cluster_id != self.table.cluster_id() || revision < self.table.revision() {
                        return (End::Gap, created);
                    }
                    created = true;
                    self.freshness = Freshness::Synced;
                    self.refused = None;
                    self.publish();
                }
                Message::Events { events, whole } => {
                    if fragments.add(events).is_err() {
                        tracing::warn!(prefix = self.prefix, "too much to catch up with; listing anew");
                        return (End::Gap, created);
                    }
                    if whole {
                        self.take_events(&fragments.take());
                        unpublished += 1;
                        // What waits already is one snapshot with it: each costs as much as there are instances.
                        if watch.is_drained() || unpublished >= CONFLATED {
                            self.publish();
                            unpublished = 0;
                        }
                    }
                }
                Message::Cancelled { reason, refused: true } => return (End::Refused(reason), created),
                Message::Cancelled { reason, refused: false } => {
                    tracing::debug!(prefix = self.prefix, %reason, "the watch was cancelled");
                    return (End::Gap, created);
                }
                Message::Lost(error) => return (End::Lost(error), created),
                Message::Moved => return (End::Moved, created),
            }
        }
        (End::Lost(Error::Unavailable { message: "the watch ended".to_owned() }), created)
    }

    fn take_listing(&mut self, listing: &Listing) {
        let known = self.table.cluster_id();
        let other = known != 0 && listing.cluster_id != known;
        if other || listing.revision < self.table.revision() {
            tracing::warn!(prefix = self.prefix, "the registry is another one, or was restored; starting anew");
            self.table.reset();
        }
        self.table.set_cluster_id(listing.cluster_id);
        let prefix = self.prefix.as_bytes();
        let entries = listing.kvs.iter().filter_map(|kv| {
            let id = kv.key.strip_prefix(prefix)?;
            Some(Entry { id, value: &kv.value, create_revision: kv.create_revision, mod_revision: kv.mod_revision })
        });
        self.table.replace(entries, listing.revision);
        self.freshness = Freshness::Synced;
        self.refused = None;
        self.publish();
    }

    /// What a registry says of its progress without an event is no bookmark: see `hub`.
    fn take_events(&mut self, events: &[Event]) {
        for event in events {
            let Some(kv) = &event.kv else { continue };
            self.table.advance(kv.mod_revision);
            let Some(id) = kv.key.strip_prefix(self.prefix.as_bytes()) else { continue };
            if event.r#type() == EventType::Delete {
                self.table.delete(id);
            } else {
                let (create_revision, mod_revision) = (kv.create_revision, kv.mod_revision);
                self.table.put(&Entry { id, value: &kv.value, create_revision, mod_revision });
            }
        }
    }

    /// The registry cannot be asked: what is known stays, and says since when it is old.
    fn lose(&mut self, error: Error) {
        tracing::debug!(prefix = self.prefix, %error, "the watch is lost");
        if self.freshness == Freshness::Synced {
            self.freshness = Freshness::Stale { since: self.clock.wall_clock() };
        }
        self.refused = error.is_permanent().then_some(error);
        self.publish();
    }

    fn publish(&self) {
        let snapshot = Arc::new(self.table.snapshot(self.freshness));
        self.meter.published(&snapshot);
        self.sender.send_replace(Published { snapshot, refused: self.refused.clone() });
    }
}
