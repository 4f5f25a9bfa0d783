//! Instances of a service: each holds a key under a lease, and keeps that alive through whichever member is next.
//!
//! All that go through one member share a keep-alive stream there. What is not renewed, for whatever reason, is
//! tried again through another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::requests::leased;
use registry_tests::{Client, KeepAlive};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

/// In seconds, and the same.
const TTL_SECONDS: i64 = 10;
pub(crate) const TTL: Duration = Duration::from_secs(TTL_SECONDS as u64);
/// A lease is renewed when it was not for so long; clients do so after a third of the TTL.
const DUE: Duration = Duration::from_millis(2_500);
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(100);
/// What the answers to a batch may take, and the renewals of one.
const PATIENCE: Duration = Duration::from_secs(1);
const BATCH: usize = 16;
/// Instances that register at the same time.
const AT_ONCE: usize = 64;

/// One instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance {
    pub(crate) is_live: bool,
    /// Its key was seen to be gone.
    pub(crate) is_gone: bool,
    /// The last renewal that was answered was sent then: the lease is there for a TTL from then on.
    pub(crate) renewed_after: Instant,
    /// The last renewal had its answer, or none, by then: the lease was not renewed later.
    pub(crate) renewed_before: Instant,
    is_asking: bool,
}

/// All of them, by lease.
#[derive(Debug, Clone, Default)]
pub(crate) struct Instances(Arc<Mutex<BTreeMap<i64, Instance>>>);

/// The key of an instance.
pub(crate) fn key_of(lease: i64) -> String {
    format!("instance/{lease}")
}

impl Instances {
    /// Registers so many, through all members in turn; many at once, as the first must not be over before the last is there.
    pub(crate) async fn register(clients: &[Client], count: usize) -> Self {
        let instances = Self::default();
        let mut tasks = JoinSet::new();
        for (first, client) in (1..=AT_ONCE).zip(clients.iter().cycle()) {
            let (instances, client) = (instances.clone(), client.clone());
            tasks.spawn(async move {
                for lease in (first..=count).step_by(AT_ONCE) {
                    instances.register_one(lease as i64, &client).await;
                }
            });
        }
        tasks.join_all().await;
        instances
    }

    async fn register_one(&self, lease: i64, client: &Client) {
        let asked = Instant::now();
        client.grant(lease, TTL_SECONDS).await.expect("the lease is granted");
        client.try_put(leased(&key_of(lease), "here", lease)).await.expect("the key is put");
        let renewed_before = Instant::now();
        let instance =
            Instance { is_live: true, is_gone: false, renewed_after: asked, renewed_before, is_asking: false };
        self.0.lock().insert(lease, instance);
    }

    /// Keeps all that live alive through these members, until it is dropped.
    pub(crate) fn keep_alive(&self, clients: &[Client], mut random: fastrand::Rng) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let queues: Vec<_> = clients.iter().map(|client| self.keep_through(client.clone(), &mut tasks)).collect();
        let instances = self.clone();
        tasks.spawn(async move {
            loop {
                for lease in instances.take_due() {
                    let queue = &queues[random.usize(..queues.len())];
                    queue.try_send(lease).expect("each member has somebody who asks it, with room for all");
                }
                sleep(LOOK).await;
            }
        });
        tasks
    }

    /// Keeps alive through one member what comes.
    fn keep_through(&self, client: Client, tasks: &mut JoinSet<()>) -> mpsc::Sender<i64> {
        // Room for all: each waits at most once.
        let (queue, mut due) = mpsc::channel(self.0.lock().len());
        let instances = self.clone();
        tasks.spawn(async move {
            let mut stream = None;
            let mut batch = Vec::new();
            while due.recv_many(&mut batch, BATCH).await > 0 {
                let sent = Instant::now();
                let renewing = instances.renew(&client, stream.take(), &batch, sent);
                stream = timeout(PATIENCE, renewing).await.ok().and_then(Result::ok);
                instances.end_asking(&batch);
                batch.clear();
            }
        });
        queue
    }

    /// Renews a batch; the stream is of use again if all were answered.
    async fn renew(
        &self,
        client: &Client,
        stream: Option<KeepAlive>,
        batch: &[i64],
        sent: Instant,
    ) -> Result<KeepAlive, Status> {
        let (mut stream, rest) = match stream {
            Some(stream) => (stream, batch),
            None => (client.try_keep_alive_of(batch[0]).await?, &batch[1..]),
        };
        for lease in rest {
            stream.ask(*lease).await;
        }
        for _ in batch {
            let answer = stream.next().await?.ok_or_else(|| Status::unavailable("the stream has ended"))?;
            assert_eq!(answer.ttl, TTL_SECONDS, "lease {} was not renewed, though it lives", answer.id);
            let mut instances = self.0.lock();
            instances.get_mut(&answer.id).expect("it was asked for").renewed_after = sent;
        }
        Ok(stream)
    }

    fn take_due(&self) -> Vec<i64> {
        let mut due = Vec::new();
        for (lease, instance) in self.0.lock().iter_mut() {
            if instance.is_live && !instance.is_asking && instance.renewed_after.elapsed() > DUE {
                instance.is_asking = true;
                due.push(*lease);
            }
        }
        due
    }

    fn end_asking(&self, batch: &[i64]) {
        let mut instances = self.0.lock();
        for lease in batch {
            let instance = instances.get_mut(lease).expect("it was asked for");
            (instance.is_asking, instance.renewed_before) = (false, Instant::now());
        }
    }

    /// So many die: nobody renews them any more, and nobody is about to.
    pub(crate) fn let_die(&self, count: usize) {
        let mut instances = self.0.lock();
        let live = instances.values_mut().filter(|instance| instance.is_live && !instance.is_asking);
        live.take(count).for_each(|instance| instance.is_live = false);
    }

    /// Has a look at, or changes, each.
    pub(crate) fn for_each(&self, mut look: impl FnMut(i64, &mut Instance)) {
        self.0.lock().iter_mut().for_each(|(lease, instance)| look(*lease, instance));
    }

    /// The leases of those that live.
    pub(crate) fn live(&self) -> Vec<i64> {
        let instances = self.0.lock();
        instances.iter().filter(|(_, instance)| instance.is_live).map(|(lease, _)| *lease).collect()
    }

    /// All that live were renewed since then.
    pub(crate) fn are_renewed_since(&self, then: Instant) -> bool {
        self.0.lock().values().all(|instance| !instance.is_live || instance.renewed_after > then)
    }

    /// All that died are seen to be gone.
    pub(crate) fn dead_are_gone(&self) -> bool {
        self.0.lock().values().all(|instance| instance.is_live || instance.is_gone)
    }
}
