//! The network between sites: who hears whom, how late, and when a connection is given up.
//!
//! It carries what TCP carries: on one connection nothing is lost, doubled or overtaken as long as the connection lives.
//! What was sent on a connection that broke may still arrive, after what a later connection brought.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::select;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A member or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Site {
    /// A member, by its number.
    Member(u32),
    /// A client, by its number.
    Client(u32),
}

/// What one way of a connection holds, at most.
const PIPE_CAPACITY: usize = 64;

/// A connection that was cut is given up after this long.
const SILENCE: Duration = Duration::from_millis(1_500);

/// All ways between all sites.
#[derive(Debug, Default)]
pub(crate) struct Network {
    rules: Mutex<Rules>,
    /// Told when a way was healed.
    healed: Notify,
}

#[derive(Debug, Default)]
struct Rules {
    /// Ways on which nothing passes.
    cut: BTreeSet<(Site, Site)>,
    /// What a message takes, at most.
    delay: Duration,
    /// What it takes on slow ways.
    slow: BTreeMap<(Site, Site), Duration>,
    /// Of 10,000 messages as many break their connection.
    breaks: u32,
    /// Of 10,000 messages that may be doubled as many are.
    doubles: u32,
    connections: Vec<Weak<Connection>>,
    sent: u64,
}

/// A connection between two sites.
#[derive(Debug)]
pub(crate) struct Connection {
    sites: (Site, Site),
    broken: CancellationToken,
}

/// The connection broke.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection broke")]
pub(crate) struct Broken;

impl Network {
    /// What messages take at most, how many of 10,000 break their connection, and how many of those that may be doubled
    /// are.
    pub(crate) fn set(&self, delay: Duration, breaks: u32, doubles: u32) {
        let mut rules = self.rules.lock();
        (rules.delay, rules.breaks, rules.doubles) = (delay, breaks, doubles);
    }

    /// Of 10,000 messages as many break their connection from now on; gives how many did.
    pub(crate) fn storm(&self, breaks: u32) -> u32 {
        std::mem::replace(&mut self.rules.lock().breaks, breaks)
    }

    /// Cuts a way; what is sent from now on does not arrive. Connections on it are given up a while later.
    pub(crate) fn cut(self: &Arc<Self>, from: Site, to: Site) {
        if !self.rules.lock().cut.insert((from, to)) {
            return;
        }
        let this = self.clone();
        drop(tokio::spawn(async move {
            tokio::time::sleep(SILENCE).await;
            if this.is_cut(from, to) {
                this.break_connections(|sites| sites == (from, to) || sites == (to, from));
            }
        }));
    }

    /// Makes messages on a way late.
    pub(crate) fn slow(&self, from: Site, to: Site, delay: Duration) {
        self.rules.lock().slow.insert((from, to), delay);
    }

    /// Heals what was cut and slowed between two sites, one way.
    pub(crate) fn heal(&self, from: Site, to: Site) {
        let mut rules = self.rules.lock();
        rules.cut.remove(&(from, to));
        rules.slow.remove(&(from, to));
        drop(rules);
        self.healed.notify_waiters();
    }

    /// Heals everything; messages take `delay` at most.
    pub(crate) fn heal_all(&self, delay: Duration) {
        let mut rules = self.rules.lock();
        rules.cut.clear();
        rules.slow.clear();
        (rules.delay, rules.breaks, rules.doubles) = (delay, 0, 0);
        drop(rules);
        self.healed.notify_waiters();
    }

    /// Whether nothing passes.
    #[must_use]
    pub(crate) fn is_cut(&self, from: Site, to: Site) -> bool {
        self.rules.lock().cut.contains(&(from, to))
    }

    /// How many messages were sent.
    #[must_use]
    pub(crate) fn sent(&self) -> u64 {
        self.rules.lock().sent
    }

    /// Breaks the connections of a site, as the kernel does it when a process ends.
    pub(crate) fn hang_up(&self, site: Site) {
        self.break_connections(|(one, other)| one == site || other == site);
    }

    /// Connects two sites; nothing is sent yet.
    pub(crate) fn connect(&self, from: Site, to: Site) -> Arc<Connection> {
        let connection = Arc::new(Connection { sites: (from, to), broken: CancellationToken::new() });
        let mut rules = self.rules.lock();
        if rules.connections.len() >= 2 * rules.connections.iter().filter(|known| known.strong_count() > 0).count() + 32
        {
            rules.connections.retain(|known| known.strong_count() > 0);
        }
        rules.connections.push(Arc::downgrade(&connection));
        connection
    }

    fn break_connections(&self, which: impl Fn((Site, Site)) -> bool) {
        let broken: Vec<_> = {
            let rules = self.rules.lock();
            rules.connections.iter().filter_map(Weak::upgrade).filter(|known| which(known.sites)).collect()
        };
        broken.iter().for_each(|connection| connection.broken.cancel());
    }

    /// When a message that is sent now arrives; none if the way is cut.
    fn arrival(&self, from: Site, to: Site, connection: &Connection) -> Option<Duration> {
        let mut rules = self.rules.lock();
        rules.sent += 1;
        if rules.cut.contains(&(from, to)) {
            return None;
        }
        if rules.breaks > 0 && fastrand::u32(..10_000) < rules.breaks {
            connection.broken.cancel();
            return None;
        }
        let longest = rules.slow.get(&(from, to)).copied().unwrap_or(rules.delay);
        Some(longest.mul_f64(fastrand::f64()))
    }

    /// Whether a message that may be doubled is.
    pub(crate) fn doubles(&self) -> bool {
        let doubles = self.rules.lock().doubles;
        doubles > 0 && fastrand::u32(..10_000) < doubles
    }

    /// Waits until a message has passed from one site to the other.
    ///
    /// # Errors
    /// [`Broken`] when the connection breaks before.
    pub(crate) async fn pass(&self, from: Site, to: Site, connection: &Connection) -> Result<(), Broken> {
        let delay = self.departs(from, to, connection).await?;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if connection.broken.is_cancelled() { Err(Broken) } else { Ok(()) }
    }

    /// Waits until a message can leave, and tells how long it takes then.
    async fn departs(&self, from: Site, to: Site, connection: &Connection) -> Result<Duration, Broken> {
        loop {
            let healed = self.healed.notified();
            if connection.broken.is_cancelled() {
                return Err(Broken);
            }
            if let Some(delay) = self.arrival(from, to, connection) {
                return Ok(delay);
            }
            if connection.broken.run_until_cancelled(healed).await.is_none() {
                return Err(Broken);
            }
        }
    }
}

impl Connection {
    /// Whether it is still one.
    #[must_use]
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_cancelled()
    }

    /// Runs until the connection breaks.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, Broken> {
        self.broken.run_until_cancelled(work).await.ok_or(Broken)
    }
}

enum Sent<T> {
    Item(Instant, T),
    /// The sender has said that it is done.
    End(Instant),
}

/// Where one way of a connection begins.
pub(crate) struct Inlet<T> {
    network: Arc<Network>,
    connection: Arc<Connection>,
    way: (Site, Site),
    sender: mpsc::Sender<Sent<T>>,
    /// When the last item arrives: nothing overtakes it.
    last: Instant,
}

/// Makes one way of a connection.
pub(crate) fn pipe<T: Send + 'static>(
    network: &Arc<Network>,
    connection: &Arc<Connection>,
    from: Site,
    to: Site,
) -> (Inlet<T>, impl Stream<Item = Result<T, Broken>> + Send + use<T>) {
    let (sender, receiver) = mpsc::channel(PIPE_CAPACITY);
    let (network, way) = (network.clone(), (from, to));
    let inlet = Inlet { network, connection: connection.clone(), way, sender, last: Instant::now() };
    // What was under way when it breaks arrives late, or never.
    let arrives_late = fastrand::bool();
    let outlet = Outlet { connection: connection.clone(), receiver, arrives_late, ended: false };
    (inlet, unfold(outlet, |mut outlet| async move { Some((outlet.next().await?, outlet)) }))
}

impl<T> Inlet<T> {
    /// Sends an item; waits while the way is cut or full.
    pub(crate) async fn send(&mut self, item: T) -> Result<(), Broken> {
        let delay = self.network.departs(self.way.0, self.way.1, &self.connection).await?;
        self.last = self.last.max(Instant::now() + delay);
        self.sender.send(Sent::Item(self.last, item)).await.map_err(|_| Broken)
    }

    /// Says that there is no more.
    pub(crate) async fn finish(mut self) {
        if let Ok(delay) = self.network.departs(self.way.0, self.way.1, &self.connection).await {
            self.last = self.last.max(Instant::now() + delay);
            self.sender.send(Sent::End(self.last)).await.unwrap_or_default();
        }
    }

    /// Sends all of them and says that there is no more, unless nobody listens before.
    pub(crate) async fn carry(mut self, items: impl Stream<Item = T>) {
        let closed = self.closed();
        let sending = async move {
            let mut items = std::pin::pin!(items);
            while let Some(item) = items.next().await {
                if self.send(item).await.is_err() {
                    return;
                }
            }
            self.finish().await;
        };
        select(std::pin::pin!(sending), std::pin::pin!(closed)).await;
    }

    /// Waits until nobody listens any more.
    fn closed(&self) -> impl Future<Output = ()> + use<T> {
        let (sender, broken) = (self.sender.clone(), self.connection.broken.clone());
        async move {
            broken.run_until_cancelled(sender.closed()).await;
        }
    }
}

struct Outlet<T> {
    connection: Arc<Connection>,
    receiver: mpsc::Receiver<Sent<T>>,
    arrives_late: bool,
    ended: bool,
}

impl<T> Outlet<T> {
    async fn next(&mut self) -> Option<Result<T, Broken>> {
        if self.ended {
            return None;
        }
        let sent = if self.connection.is_broken() {
            self.left_over()
        } else {
            match self.connection.hold(self.receiver.recv()).await {
                Ok(sent) => sent,
                Err(Broken) => self.left_over(),
            }
        };
        match sent {
            Some(Sent::Item(arrival, item)) => {
                tokio::time::sleep_until(arrival).await;
                Some(Ok(item))
            }
            Some(Sent::End(arrival)) => {
                tokio::time::sleep_until(arrival).await;
                None
            }
            // The sender has gone without a word, or the connection is broken.
            None => {
                self.ended = true;
                Some(Err(Broken))
            }
        }
    }

    fn left_over(&mut self) -> Option<Sent<T>> {
        if self.arrives_late { self.receiver.try_recv().ok() } else { None }
    }
}
