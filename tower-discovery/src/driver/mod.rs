//! The task that follows discovery and publishes pickers.
//!
//! It alone owns the set of endpoints. Each endpoint has a task of its own (`upkeep`) that connects, waits
//! for the connection's end and connects again; the driver hears of it through a bounded queue, whose
//! senders wait when it is full. Whatever happened since the last time is published as one picker.

mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use indexmap::IndexMap;
use registry_client::View;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use self::upkeep::{Event, News, Upkeep};
use crate::backoff::Backoff;
use crate::balance::Board;
use crate::diff::Change;
use crate::error::{BoxError, ConnectError};
use crate::picker::{Member, Outlook, Picker};
use crate::resolve::Resolve;
use crate::target::{Key, Target};

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
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    resolve: Resolve,
    board: Arc<Board<C::Response>>,
    slots: IndexMap<Key, Slot<C::Response>>,
    sender: mpsc::Sender<News<C::Response>>,
    inbox: mpsc::Receiver<News<C::Response>>,
    /// The serial number of the newest slot.
    serial: u64,
    /// The first snapshot was seen.
    is_synced: bool,
    last_failure: Option<Arc<ConnectError>>,
}

/// One endpoint of the newest snapshot.
struct Slot<S> {
    target: Target,
    /// Tells news of this slot from those of a predecessor under the same key.
    serial: u64,
    state: State<S>,
    /// Ends the endpoint's task with the slot; connections in use live on until their requests are done.
    _stop: DropGuard,
}

enum State<S> {
    Untried,
    Down,
    Up(Arc<Member<S>>),
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
        tasks: TaskTracker,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        Self {
            connector,
            policy,
            permits: Arc::new(Semaphore::new(policy.parallel.min(Semaphore::MAX_PERMITS))),
            tasks,
            resolve: Resolve::new(view),
            board,
            slots: IndexMap::new(),
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
            }
            self.publish();
        }
        self.slots.clear();
        self.publish();
        self.tasks.close();
    }

    fn follow(&mut self, batch: Vec<Change>) {
        self.is_synced = true;
        for change in batch {
            match change {
                Change::Insert(target) => self.insert(target),
                Change::Update(target) => self.update(&target),
                Change::Remove(key) => drop(self.slots.swap_remove(&key)),
            }
        }
    }

    fn insert(&mut self, target: Target) {
        self.serial += 1;
        let stop = CancellationToken::new();
        let upkeep = Upkeep {
            connector: self.connector.clone(),
            policy: self.policy,
            permits: Arc::clone(&self.permits),
            tasks: self.tasks.clone(),
            target: target.clone(),
            serial: self.serial,
            driver: self.sender.clone(),
        };
        self.tasks.spawn(stop.clone().run_until_cancelled_owned(upkeep.run()));
        let slot = Slot { serial: self.serial, state: State::Untried, _stop: stop.drop_guard(), target };
        self.slots.insert(slot.target.key().clone(), slot);
    }

    /// The connection and its load stay as they are.
    fn update(&mut self, target: &Target) {
        let Some(slot) = self.slots.get_mut(target.key()) else {
            return;
        };
        slot.target = target.clone();
        if let State::Up(member) = &mut slot.state {
            *member = Arc::new(Member {
                target: target.with_life_of(&member.target),
                weight: target.instance().weight(),
                connection: member.connection.clone(),
                load: Arc::clone(&member.load),
            });
        }
    }

    fn hear(&mut self, news: News<C::Response>) {
        let Some(slot) = self.slots.get_mut(&news.key).filter(|slot| slot.serial == news.serial) else {
            return;
        };
        match news.event {
            Event::Connected { connection, target } => {
                slot.state = State::Up(Arc::new(Member {
                    target: slot.target.with_life_of(&target),
                    weight: slot.target.instance().weight(),
                    connection,
                    load: Arc::default(),
                }));
            }
            Event::Lost => slot.state = State::Down,
            Event::Failed(error) => {
                slot.state = State::Down;
                self.last_failure = Some(Arc::new(error));
            }
        }
    }

    fn publish(&self) {
        let connected = |slot: &Slot<C::Response>| match &slot.state {
            State::Up(member) => Some(Arc::clone(member)),
            State::Untried | State::Down => None,
        };
        let members: Vec<_> = self.slots.values().filter_map(connected).collect();
        let outlook = Outlook {
            known: self.is_synced.then_some(self.slots.len()),
            untried: self.slots.values().filter(|slot| matches!(slot.state, State::Untried)).count(),
            last: self.last_failure.clone(),
        };
        self.board.publish(Picker::new(members, outlook));
    }
}
