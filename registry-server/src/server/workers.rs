//! The threads that serve clients, from the first connection to a clean stop.
//!
//! One thread accepts; each worker is a thread with a runtime of its own, and a connection stays on its
//! worker for life, so that its requests never cross threads. Connections are handed out in turn. A stop
//! closes the listeners, asks every connection to finish, waits for them up to the grace period, and ends
//! the threads; what is still running then is dropped with its runtime.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::connection::{Protocols, Serve};
use super::listen::{Accepted, Bound, accept_loop};
use super::newcomers::Newcomers;

/// Accepted connections that may wait for a busy worker. When they do, accepting waits, too.
const WAITING_CONNECTIONS: usize = 64;

/// The running threads. Dropping it stops them without waiting; [`FrontDoor::shutdown`] waits.
#[derive(Debug)]
pub struct FrontDoor {
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    /// Ends when the last thread has dropped its sender.
    ended: mpsc::Receiver<()>,
}

/// Hands connections to the workers in turn.
pub(super) struct Desk {
    workers: Vec<mpsc::Sender<Accepted>>,
    next: AtomicUsize,
}

impl Desk {
    pub(super) async fn hand_over(&self, accepted: Accepted) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        // A worker ends only at a stop, when a connection may be dropped.
        drop(self.workers[turn].send(accepted).await);
    }
}

impl FrontDoor {
    /// Starts to serve `service` on what was bound.
    ///
    /// # Errors
    /// When the system has no thread or no file descriptor left.
    pub fn start<S: Serve>(bound: Bound, service: S, config: &Config) -> io::Result<Self> {
        let stop = CancellationToken::new();
        // Stops the threads that did start when a later one cannot.
        let guard = stop.clone().drop_guard();
        let service = Arc::new(service);
        let addresses = bound.addresses();
        let (alive, ended) = mpsc::channel(1);
        let (mut threads, mut workers) = (Vec::new(), Vec::new());
        let newcomers = Newcomers::new(bound.max_newcomers().unwrap_or(config.max_connections));
        for number in 0..worker_count(config) {
            let (sender, receiver) = mpsc::channel(WAITING_CONNECTIONS);
            workers.push(sender);
            let worker = Worker {
                receiver,
                protocols: Protocols::new(config, newcomers.clone()),
                service: service.clone(),
                stop: stop.clone(),
                grace: config.shutdown_grace,
            };
            threads.push(spawn(&format!("api-{number}"), alive.clone(), worker.run())?);
        }
        let desk = Arc::new(Desk { workers, next: AtomicUsize::new(0) });
        let places = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        threads.push(spawn("accept", alive, accept_all(bound, places, desk, stop.clone()))?);
        drop(guard.disarm());
        Ok(Self { addresses, stop, threads, ended })
    }

    /// Where clients are served that come by an address, in the order of the listen URLs.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting, lets requests under way finish within the configured grace period, and waits until
    /// every thread has ended. May be awaited on any runtime but the front door's own.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // Nobody sends: this waits for the last sender to go.
        while self.ended.recv().await.is_some() {}
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the front door has panicked");
            }
        }
    }
}

impl Drop for FrontDoor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What one thread needs to serve its connections.
struct Worker<S> {
    receiver: mpsc::Receiver<Accepted>,
    protocols: Protocols,
    service: Arc<S>,
    stop: CancellationToken,
    grace: Duration,
}

impl<S: Serve> Worker<S> {
    async fn run(mut self) {
        // For as long as the runtime lives, the grace period included.
        drop(tokio::spawn(self.protocols.wakes().pass_on()));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = self.receiver.recv() => match accepted {
                    Some(accepted) => self.serve(accepted, &mut connections),
                    None => break,
                },
                // Finished connections are taken out as they end, so that the set does not grow.
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(self.receiver);
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(self.grace, all_ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "closing connections that did not finish in time");
        }
        connections.shutdown().await;
    }

    fn serve(&self, accepted: Accepted, connections: &mut JoinSet<()>) {
        let stream = match accepted.stream.register() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be served");
                return;
            }
        };
        let (protocols, service, stop) = (self.protocols.clone(), self.service.clone(), self.stop.clone());
        connections.spawn(async move {
            protocols.serve(stream, accepted.remote, accepted.entrance, service, stop).await;
            drop(accepted.place);
        });
    }
}

async fn accept_all(bound: Bound, places: Arc<Semaphore>, desk: Arc<Desk>, stop: CancellationToken) {
    let mut loops = JoinSet::new();
    for (entrance, socket) in bound.into_sockets() {
        match socket.register() {
            Ok(socket) => {
                drop(loops.spawn(accept_loop((entrance, socket), places.clone(), desk.clone(), stop.clone())));
            }
            Err(error) => tracing::error!(%error, "a listener could not be registered"),
        }
    }
    while let Some(ended) = loops.join_next().await {
        report(ended);
    }
}

/// A panic ends one connection; it must not go unseen.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task has panicked");
    }
}

/// A thread with a runtime of its own that runs `main` to its end. `alive` goes when the thread does.
fn spawn<F>(name: &str, alive: mpsc::Sender<()>, main: F) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _alive = alive;
        runtime.block_on(main);
    })
}

fn worker_count(config: &Config) -> usize {
    config.worker_threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)).max(1)
}
