//! Who is compared with the model: anything that answers operations and watch requests. [`Wire`] is any
//! etcd behind a connection.

use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{LeaseKeepAliveResponse, WatchCreateRequest, WatchResponse};
use tokio::sync::Mutex;
use tonic::{Response, Status};

use super::{Answer, Operation};
use crate::client::{Client, KeepAlive};
use crate::watching::Watching;

/// Who answers.
pub trait Subject {
    /// Its watch streams.
    type Feed: Feed;

    /// Answers an operation. Of several writes that are polled for the first time in an order, without a wait
    /// in between, the effects come in that order.
    fn answer(&self, operation: &Operation) -> impl Future<Output = Result<Answer, Status>>;

    /// A stream with one watcher, whose first answer is that to the request.
    fn watch(&self, request: WatchCreateRequest) -> impl Future<Output = Self::Feed>;
}

/// A watch stream.
pub trait Feed {
    /// The next answer.
    ///
    /// # Errors
    /// With which the stream ended.
    fn next(&mut self) -> impl Future<Output = Result<Option<WatchResponse>, Status>>;
}

/// A server at the other end of a connection.
#[derive(Debug)]
pub struct Wire {
    client: Client,
    /// None before the first.
    keep_alive: Mutex<Option<KeepAlive>>,
}

impl Wire {
    /// The server that serves at `url`.
    pub async fn connect(url: &str) -> Self {
        Self { client: Client::connect(url).await, keep_alive: Mutex::default() }
    }
}

impl Wire {
    async fn renew(&self, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
        let mut keep_alive = self.keep_alive.lock().await;
        let answer = match &mut *keep_alive {
            Some(keep_alive) => keep_alive.try_renew(id).await?,
            none => none.insert(self.client.keep_alive_of(id).await).next().await?,
        };
        answer.ok_or_else(|| Status::unknown("the stream of keep-alives has ended"))
    }
}

impl Subject for Wire {
    type Feed = Watching;

    async fn answer(&self, operation: &Operation) -> Result<Answer, Status> {
        let mut kv = self.client.kv.clone();
        let mut lease = self.client.lease.clone();
        Ok(match operation.clone() {
            Operation::Range(request) => Answer::Range(kv.range(request).await?.into_inner()),
            Operation::Put(request) => Answer::Put(kv.put(request).await?.into_inner()),
            Operation::DeleteRange(request) => Answer::DeleteRange(kv.delete_range(request).await?.into_inner()),
            Operation::Txn(request) => Answer::Txn(kv.txn(request).await?.into_inner()),
            Operation::Compact(request) => Answer::Compact(kv.compact(request).await?.into_inner()),
            Operation::LeaseGrant(request) => Answer::LeaseGrant(lease.lease_grant(request).await?.into_inner()),
            Operation::LeaseRevoke(request) => Answer::LeaseRevoke(lease.lease_revoke(request).await?.into_inner()),
            Operation::LeaseTimeToLive(request) => {
                lease.lease_time_to_live(request).await.map(Response::into_inner).map(Answer::LeaseTimeToLive)?
            }
            Operation::LeaseLeases(request) => Answer::LeaseLeases(lease.lease_leases(request).await?.into_inner()),
            Operation::LeaseKeepAlive(request) => Answer::LeaseKeepAlive(self.renew(request.id).await?),
        })
    }

    async fn watch(&self, request: WatchCreateRequest) -> Watching {
        let watching = Watching::open(&self.client).await;
        watching.send(RequestUnion::CreateRequest(request)).await;
        watching
    }
}

impl Feed for Watching {
    async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        self.try_answer().await
    }
}
