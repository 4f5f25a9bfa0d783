//! One thread of the generator: a runtime, its connections, and the clients on them.
//!
//! The thread makes its clients once, then runs a phase for each order until the crew is dropped.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::clients::{self, Client, Fanout};
use crate::keys::Keys;
use crate::load::Load;
use crate::pace::Alarm;
use crate::phase::Phase;
use crate::recorder::Recorder;

/// What a thread needs to make its clients.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) load: Arc<Load>,
    /// The members; there is one at least.
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) recorder: Arc<Recorder>,
    /// Which of the load's threads, from 0.
    pub(crate) thread: usize,
}

impl Plan {
    /// Opens this thread's connections and says, client by client, which one each uses.
    pub(crate) async fn connect(&self) -> Result<Vec<Connection>, BenchError> {
        let mut connections = Vec::new();
        for number in (self.thread..self.load.connections).step_by(self.load.threads) {
            connections.push(Connection::open(&self.endpoints[number % self.endpoints.len()]).await?);
        }
        let places = places(&self.load, self.thread);
        Ok(places.map(|(_, connection)| connections[connection].clone()).collect())
    }

    /// The numbers of this thread's clients among all of the load, in the order of [`Plan::connect`].
    pub(crate) fn client_numbers(&self) -> impl Iterator<Item = usize> {
        places(&self.load, self.thread).map(|(client, _)| client)
    }
}

/// The clients of a thread, each with the thread's connection it uses. Clients go around the connections,
/// connections go around the threads.
fn places(load: &Load, thread: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (connections, threads) = (load.connections, load.threads);
    let on = move |client: usize| (client, client % connections);
    (0..load.clients).map(on).filter(move |(_, c)| c % threads == thread).map(move |(n, c)| (n, c / threads))
}

/// A thread with clients. Dropping it ends the thread and its connections.
#[derive(Debug)]
pub(crate) struct Crew {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Order {
    phase: Arc<Phase>,
    done: oneshot::Sender<()>,
}

impl Crew {
    /// Returns once the clients are ready.
    pub(crate) async fn start(plan: Plan) -> Result<Self, BenchError> {
        let (orders, queue) = mpsc::channel(1);
        let (ready, outcome) = oneshot::channel();
        let name = format!("crew-{}", plan.thread);
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(plan, ready, queue)),
                Err(error) => drop(ready.send(Err(BenchError::system("a runtime")(error)))),
            }
        };
        let thread = thread::Builder::new().name(name).spawn(body).map_err(BenchError::system("a thread"))?;
        let crew = Self { orders: Some(orders), thread: Some(thread) };
        outcome.await.unwrap_or_else(|_| Err(panicked()))?;
        Ok(crew)
    }

    /// Runs a phase; returns when this thread's clients are through with it.
    pub(crate) async fn run(&self, phase: Arc<Phase>) -> Result<(), BenchError> {
        let (done, end) = oneshot::channel();
        let orders = self.orders.as_ref().expect("only taken when the crew is dropped");
        orders.send(Order { phase, done }).await.map_err(|_| panicked())?;
        end.await.map_err(|_| panicked())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.orders = None;
        // A panic was reported when the thread did not answer.
        let ended = self.thread.take().map(JoinHandle::join);
        drop(ended);
    }
}

fn panicked() -> BenchError {
    BenchError::Load("a thread of the generator has panicked".to_owned())
}

type Ready = oneshot::Sender<Result<(), BenchError>>;

async fn serve(plan: Plan, ready: Ready, orders: mpsc::Receiver<Order>) {
    use crate::load::Work::{Get, KeepAlive, Put, Range, Txn, Watch};
    match plan.load.work {
        Put => work(clients::puts(&plan).await, &plan, ready, orders).await,
        Get => work(clients::gets(&plan).await, &plan, ready, orders).await,
        Range => work(clients::ranges(&plan).await, &plan, ready, orders).await,
        Txn => work(clients::txns(&plan).await, &plan, ready, orders).await,
        KeepAlive => work(clients::keep_alives(&plan).await, &plan, ready, orders).await,
        Watch => work(clients::watches(&plan).await, &plan, ready, orders).await,
    }
}

async fn work<C: Client>(
    clients: Result<Vec<C>, BenchError>,
    plan: &Plan,
    ready: Ready,
    mut orders: mpsc::Receiver<Order>,
) {
    let made = clients.and_then(|clients| Ok((clients, Alarm::new().map_err(BenchError::system("a timer"))?)));
    let (mut clients, alarm) = match made {
        Ok((clients, alarm)) => (clients, Arc::new(Mutex::new(alarm))),
        Err(error) => return drop(ready.send(Err(error))),
    };
    // Whoever waits for these answers may have given up; then the orders end as well.
    drop(ready.send(Ok(())));
    while let Some(Order { phase, done }) = orders.recv().await {
        let mut under_way = JoinSet::new();
        for client in clients.drain(..) {
            under_way.spawn(drive(client, Arc::clone(&phase), Arc::clone(&alarm), Arc::clone(&plan.recorder)));
        }
        clients = under_way.join_all().await;
        // Nobody waits any more when the measurement was given up.
        let _ = done.send(());
    }
}

/// One client's share of a phase: one operation after the other.
async fn drive<C: Client>(mut client: C, phase: Arc<Phase>, alarm: Arc<Mutex<Alarm>>, recorder: Arc<Recorder>) -> C {
    while let Some(due) = phase.next_turn(&alarm).await {
        match client.act(due).await {
            Ok(()) if C::TIMED => recorder.record(Instant::now() - due),
            Ok(()) => {}
            Err(error) => phase.fail(error),
        }
    }
    if let Err(error) = client.settle().await {
        phase.fail(error);
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_one_place_and_connections_are_shared_evenly() {
        let load = Load { clients: 10, connections: 5, threads: 2, ..Load::default() };
        let first: Vec<_> = places(&load, 0).collect();
        let second: Vec<_> = places(&load, 1).collect();
        assert_eq!(first, [(0, 0), (2, 1), (4, 2), (5, 0), (7, 1), (9, 2)]);
        assert_eq!(second, [(1, 0), (3, 1), (6, 0), (8, 1)]);
    }
}
