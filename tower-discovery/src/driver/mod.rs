//! The task that follows discovery and publishes pickers.
//!
//! It alone owns the set of endpoints (`roster`). Each endpoint has a task of its own (`upkeep`) that connects, waits
//! for the connection's end and connects again; the driver hears of it through a bounded queue, whose
//! senders wait when it is full. Whatever happened since the last time is published as one picker.

mod permits;
mod roster;
mod slot;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use registry_client::View;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use self::permits::Permits;
use self::roster::Roster;
use self::slot::{State, Work};
use self::upkeep::{Event, News, Upkeep};
use crate::backoff::Backoff;
use crate::balance::Board;
use crate::balancing::Balancing;
use crate::diff::Change;
use crate::error::{BoxError, ConnectError};
use crate::resolve::Resolve;
use crate::target::Target;

/// News that wait for the driver; senders beyond it wait.
const INBOX: usize = 64;

/// How endpoints are connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectPolicy {
    pub(crate) timeout: Duration,
    pub(crate) parallel: usize,
    pub(crate) backoff: Backoff,
}

impl Default for ConnectPolicy {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), parallel: 64, backoff: Backoff::default() }
    }
}

/// Follows one view with one connector.
pub(crate) struct Driver<C: Service<Target>> {
    connector: C,
    policy: ConnectPolicy,
    permits: Permits,
    tasks: TaskTracker,
    resolve: Resolve,
    board: Arc<Board<C::Response>>,
    roster: Roster<C::Response>,
    sender: mpsc::Sender<News<C::Response>>,
    inbox: mpsc::Receiver<News<C::Response>>,
    /// The serial number of the newest task.
    serial: u64,
    /// The first snapshot was seen.
    is_synced: bool,
    last_failure: Option<Arc<ConnectError>>,
}

impl<C> Driver<C>
where
    C: Service<Target> + Clone + Send + 'static,
    C::Response: Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    pub(crate) fn new(
        connector: C,
        view: View,
        board: Arc<Board<C::Response>>,
        policy: ConnectPolicy,
        balancing: Balancing,
        tasks: TaskTracker,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        Self {
            connector,
            policy,
            permits: Permits::new(policy.parallel),
            tasks,
            resolve: Resolve::new(view),
            board,
            roster: Roster::new(balancing, Instant::now()),
            sender,
            inbox,
            serial: 0,
            is_synced: false,
            last_failure: None,
        }
    }

    /// Runs until `stop`; then no endpoint is left in the picker and the tasks' tracker is closed.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut news = Vec::with_capacity(INBOX);
        let mut is_fed = true;
        loop {
            let due = self.roster.due(Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = self.inbox.recv_many(&mut news, INBOX) => {
                    for item in news.drain(..) {
                        self.hear(item);
                    }
                }
                batch = self.resolve.next(), if is_fed => match batch {
                    Some(batch) => self.follow(batch),
                    None => {
                        // The last set stays, and its connections are kept up.
                        tracing::debug!(service = %self.board.service, "discovery has ended");
                        is_fed = false;
                    }
                },
                () = until(due) => {}
            }
            self.roster.tick(Instant::now());
            self.select();
            self.publish();
        }
        self.roster.clear();
        self.publish();
        self.tasks.close();
    }

    fn follow(&mut self, batch: Vec<Change>) {
        self.is_synced = true;
        for change in batch {
            match change {
                Change::Insert(target) => self.roster.insert(target),
                Change::Update(target) => self.roster.update(&target),
                Change::Remove(key) => self.roster.remove(&key),
            }
        }
        self.roster.end_of_batch();
    }

    /// Starts a task for each endpoint that is to be connected and has none.
    fn select(&mut self) {
        for target in self.roster.select(Instant::now()) {
            self.serial += 1;
            let stop = CancellationToken::new();
            let upkeep = Upkeep {
                connector: self.connector.clone(),
                policy: self.policy,
                permits: self.permits.clone(),
                tasks: self.tasks.clone(),
                target: target.clone(),
                serial: self.serial,
                driver: self.sender.clone(),
            };
            self.tasks.spawn(stop.clone().run_until_cancelled_owned(upkeep.run()));
            self.roster.start(target.key(), Work { serial: self.serial, _stop: stop.drop_guard() });
        }
    }

    fn hear(&mut self, news: News<C::Response>) {
        let News { key, serial, event } = news;
        let state = match event {
            Event::Connected { connection, target } => {
                return self.roster.connect(&key, serial, &target, connection, Instant::now());
            }
            Event::Lost => State::Down,
            Event::Failed(error) if self.roster.slot(&key, serial).is_some() => {
                self.last_failure = Some(Arc::new(error));
                State::Down
            }
            Event::Failed(_) => return,
        };
        if let Some(slot) = self.roster.slot(&key, serial) {
            slot.enter(state);
        }
    }

    fn publish(&self) {
        self.board.publish(self.roster.picker(Instant::now(), self.is_synced, self.last_failure.clone()));
    }
}

/// Waits until then; without a time, for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
