//! The keep-alive stream: one a connection, for all leases of the client.
//!
//! A registration asks for a keep-alive; the answer comes to the route it left here. When the stream ends,
//! breaks or stays silent, every route is told, and what was asked on it has no answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::machine::{Event, LeaseId};
use super::rpc::seconds_of;
use crate::backoff::Delays;
use crate::channel::{CALL_LIMIT, Channel, OPEN_LIMIT, failure};
use crate::error::LeaseTrouble;
use crate::meters;

/// Keep-alives that wait for the stream; one that finds no place is asked for again a third of a TTL later.
const QUEUE_LIMIT: usize = 4096;
/// A stream that has answered within this time is not the reason for anybody's silence.
const LIVELY: Duration = Duration::from_millis(300);

/// In order, as all are told when the stream is lost.
type Routes = Arc<Mutex<BTreeMap<LeaseId, mpsc::Sender<Event>>>>;

/// The registrations' side. Clones share the stream.
#[derive(Debug, Clone)]
pub(crate) struct KeepAlives {
    asked: mpsc::Sender<LeaseId>,
    routes: Routes,
    restart: Arc<Notify>,
}

impl KeepAlives {
    /// Also gives what has to run on the SDK's thread.
    pub(crate) fn new(channel: Channel) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, asked) = mpsc::channel(QUEUE_LIMIT);
        let keepalives = Self { asked: sender, routes: Routes::default(), restart: Arc::default() };
        let stream = KeepAliveStream {
            channel,
            asked,
            routes: Arc::clone(&keepalives.routes),
            restart: Arc::clone(&keepalives.restart),
            sent: BTreeMap::new(),
        };
        (keepalives, stream.run())
    }

    /// Asks for a keep-alive; its answer goes to `route`.
    pub(super) fn ask(&self, id: LeaseId, route: &mpsc::Sender<Event>) {
        self.routes.lock().entry(id).or_insert_with(|| route.clone());
        if self.asked.try_send(id).is_err() {
            tracing::warn!(lease = id, "keep-alives wait in too long a line");
        }
    }

    /// The lease is not kept alive any more.
    pub(super) fn forget(&self, id: LeaseId) {
        self.routes.lock().remove(&id);
    }

    /// Nothing is answered: the stream is to be opened anew, on another connection.
    pub(super) fn restart(&self) {
        self.restart.notify_one();
    }
}

struct KeepAliveStream {
    channel: Channel,
    asked: mpsc::Receiver<LeaseId>,
    routes: Routes,
    restart: Arc<Notify>,
    /// When those without an answer were last sent.
    sent: BTreeMap<LeaseId, Instant>,
}

impl KeepAliveStream {
    async fn run(mut self) {
        let mut pauses = Delays::random();
        while let Some(first) = self.asked.recv().await {
            let opened_at = now();
            let trouble = match self.open(first).await {
                Ok((requests, answers)) => self.follow(requests, answers).await,
                Err(trouble) => Some(trouble),
            };
            let Some(trouble) = trouble else { return };
            meters::keep_alives_lost(std::mem::take(&mut self.sent).len());
            tracing::debug!(%trouble, "the keep-alive stream is lost");
            if trouble != LeaseTrouble::StreamEnded {
                self.channel.condemn(opened_at);
            }
            if opened_at.elapsed() > CALL_LIMIT * 2 {
                pauses = Delays::random();
            }
            // What was asked for until now is asked for again by those who are told.
            while self.asked.try_recv().is_ok() {}
            self.tell_all(&trouble);
            tokio::time::sleep(pauses.next()).await;
        }
    }

    /// Opens the stream with its first keep-alive, as a server may answer only then.
    async fn open(
        &mut self,
        first: LeaseId,
    ) -> Result<(mpsc::Sender<LeaseKeepAliveRequest>, Streaming<LeaseKeepAliveResponse>), LeaseTrouble> {
        let (requests, outgoing) = mpsc::channel(QUEUE_LIMIT);
        let _ = requests.try_send(LeaseKeepAliveRequest { id: first });
        self.count(first);
        let mut client = LeaseClient::new(self.channel.clone());
        match timeout(OPEN_LIMIT, client.lease_keep_alive(ReceiverStream::new(outgoing))).await {
            Ok(Ok(answers)) => Ok((requests, answers.into_inner())),
            Ok(Err(status)) => Err(LeaseTrouble::StreamError(failure(&status).error.to_string())),
            Err(_) => Err(LeaseTrouble::Silent),
        }
    }

    /// Carries keep-alives out and answers back until the stream is lost, and says how; nothing when the
    /// client has gone.
    async fn follow(
        &mut self,
        requests: mpsc::Sender<LeaseKeepAliveRequest>,
        mut answers: Streaming<LeaseKeepAliveResponse>,
    ) -> Option<LeaseTrouble> {
        let mut heard_at = now();
        loop {
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        heard_at = now();
                        self.route(&answer);
                    }
                    Ok(None) => return Some(LeaseTrouble::StreamEnded),
                    Err(status) => return Some(LeaseTrouble::StreamError(failure(&status).error.to_string())),
                },
                () = self.restart.notified() => if heard_at.elapsed() > LIVELY {
                    return Some(LeaseTrouble::Silent);
                },
                id = self.asked.recv() => {
                    let id = id?;
                    if requests.try_send(LeaseKeepAliveRequest { id }).is_err() {
                        return Some(LeaseTrouble::Silent);
                    }
                    self.count(id);
                }
            }
        }
    }

    fn count(&mut self, sent: LeaseId) {
        self.sent.insert(sent, now());
        meters::keep_alive_sent();
    }

    fn route(&mut self, answer: &LeaseKeepAliveResponse) {
        meters::keep_alive_answered(self.sent.remove(&answer.id).map(|at| at.elapsed()), answer.ttl);
        let route = self.routes.lock().get(&answer.id).cloned();
        if let Some(route) = route {
            // A full route belongs to a registration that is busy with older answers.
            drop(route.try_send(Event::KeptAlive { id: answer.id, ttl: seconds_of(answer.ttl) }));
        }
    }

    fn tell_all(&self, trouble: &LeaseTrouble) {
        let routes: Vec<_> = self.routes.lock().values().cloned().collect();
        for route in routes {
            drop(route.try_send(Event::StreamLost(trouble.clone())));
        }
    }
}

fn now() -> Instant {
    Instant::now()
}
