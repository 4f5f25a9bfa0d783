//! A client over the generated stubs, with short forms for what suites do often.

use bytes::Bytes;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader, StatusRequest, TxnRequest, TxnResponse,
};
use registry_proto::mvccpb::KeyValue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use crate::budget::{ANSWER, SOON};
use crate::requests;
use crate::wait::within;

/// One connection and the services on it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Key-values.
    pub kv: KvClient<Channel>,
    /// Watch streams; [`crate::Watching`] is easier.
    pub watch: WatchClient<Channel>,
    /// Leases.
    pub lease: LeaseClient<Channel>,
    /// Members.
    pub cluster: ClusterClient<Channel>,
    /// Status and the like.
    pub maintenance: MaintenanceClient<Channel>,
}

/// A keep-alive stream.
#[derive(Debug)]
pub struct KeepAlive {
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

/// Code and text of an answer that must be an error.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("the request must be refused");
    (status.code(), status.message().to_owned())
}

impl Client {
    /// Connects to a node that serves.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(url: &str) -> Self {
        Self::over(endpoint(url).connect().await.expect("the node serves"))
    }

    /// A client of a node that may come and go: it connects when it is used, and again when it has to.
    #[must_use]
    pub fn lazy(url: &str) -> Self {
        Self::over(endpoint(url).connect_lazy())
    }

    /// A client over a connection that was made another way.
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone())
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        }
    }

    /// Puts, with whatever options.
    ///
    /// # Errors
    /// The server's.
    pub async fn try_put(&self, request: PutRequest) -> Result<PutResponse, Status> {
        self.kv.clone().put(request).await.map(Response::into_inner)
    }

    /// Puts a value and returns its revision.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn put(&self, key: &str, value: &str) -> i64 {
        let answer = self.try_put(requests::put(key, value.to_owned())).await.expect("the put is accepted");
        revision(answer.header)
    }

    /// Reads.
    ///
    /// # Errors
    /// The server's.
    pub async fn try_range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.kv.clone().range(request).await.map(Response::into_inner)
    }

    /// Reads key-values.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn range(&self, request: RangeRequest) -> Vec<KeyValue> {
        let answer = self.try_range(request).await.expect("the range is accepted");
        answer.kvs.into_messages().expect("key-values decode")
    }

    /// One key.
    pub async fn get(&self, key: &str) -> Option<KeyValue> {
        self.range(requests::key(key)).await.pop()
    }

    /// The value of a key.
    pub async fn value(&self, key: &str) -> Option<Bytes> {
        self.get(key).await.map(|kv| kv.value)
    }

    /// The store's revision.
    ///
    /// # Panics
    /// When the server does not tell it.
    pub async fn revision(&self) -> i64 {
        let answer = self.try_range(requests::key("\u{1}none")).await.expect("the range is accepted");
        revision(answer.header)
    }

    /// Deletes.
    ///
    /// # Errors
    /// The server's.
    pub async fn delete(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        self.kv.clone().delete_range(request).await.map(Response::into_inner)
    }

    /// Executes a transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        self.kv.clone().txn(request).await.map(Response::into_inner)
    }

    /// Compacts, and waits for the work.
    ///
    /// # Errors
    /// The server's.
    pub async fn compact(&self, revision: i64) -> Result<(), Status> {
        self.kv.clone().compact(CompactionRequest { revision, physical: true }).await.map(drop)
    }

    /// Grants a lease and returns its TTL in seconds.
    ///
    /// # Errors
    /// The server's.
    pub async fn grant(&self, id: i64, ttl: i64) -> Result<i64, Status> {
        let answer = self.lease.clone().lease_grant(LeaseGrantRequest { id, ttl }).await?.into_inner();
        assert!(id == 0 || answer.id == id, "the lease has the id that was asked for");
        Ok(answer.ttl)
    }

    /// Revokes a lease and returns the revision after it.
    ///
    /// # Errors
    /// The server's.
    pub async fn revoke(&self, id: i64) -> Result<i64, Status> {
        let answer = self.lease.clone().lease_revoke(LeaseRevokeRequest { id }).await?.into_inner();
        Ok(revision(answer.header))
    }

    /// What is left of a lease, and its keys.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn time_to_live(&self, id: i64) -> LeaseTimeToLiveResponse {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        self.lease.clone().lease_time_to_live(request).await.expect("leases can be asked for").into_inner()
    }

    /// The ids of all leases, in order.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn leases(&self) -> Vec<i64> {
        let answer = self.lease.clone().lease_leases(LeaseLeasesRequest {}).await.expect("leases can be listed");
        let mut ids: Vec<_> = answer.into_inner().leases.iter().map(|lease| lease.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Opens a keep-alive stream.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn keep_alive(&self) -> KeepAlive {
        self.open_keep_alive(None).await.expect("the stream opens")
    }

    /// Opens a keep-alive stream.
    ///
    /// # Errors
    /// The server's.
    pub async fn try_keep_alive(&self) -> Result<KeepAlive, Status> {
        self.open_keep_alive(None).await
    }

    /// Opens a keep-alive stream with the renewal of a lease, whose answer comes [next](KeepAlive::next). etcd
    /// itself says nothing on a stream before it has something to answer.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn keep_alive_of(&self, id: i64) -> KeepAlive {
        self.open_keep_alive(Some(LeaseKeepAliveRequest { id })).await.expect("the stream opens")
    }

    /// The same on a member that may be gone.
    ///
    /// # Errors
    /// The server's.
    pub async fn try_keep_alive_of(&self, id: i64) -> Result<KeepAlive, Status> {
        self.open_keep_alive(Some(LeaseKeepAliveRequest { id })).await
    }

    async fn open_keep_alive(&self, first: Option<LeaseKeepAliveRequest>) -> Result<KeepAlive, Status> {
        let (requests, receiver) = mpsc::channel(16);
        if let Some(first) = first {
            requests.try_send(first).expect("a new channel has room");
        }
        let answers = self.lease.clone().lease_keep_alive(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(KeepAlive { requests, answers })
    }

    /// Who answers: cluster id, member id, revision and term.
    ///
    /// # Panics
    /// When the server does not tell.
    pub async fn header(&self) -> ResponseHeader {
        let answer = self.maintenance.clone().status(StatusRequest {}).await.expect("status is answered");
        answer.into_inner().header.expect("every answer has a header")
    }
}

impl KeepAlive {
    /// Renews a lease and returns the TTL in the answer: 0 when there is no such lease.
    ///
    /// # Panics
    /// When the stream has ended.
    pub async fn renew(&mut self, id: i64) -> i64 {
        let answer = self.try_renew(id).await.expect("the stream goes on").expect("the stream goes on");
        assert_eq!(answer.id, id);
        answer.ttl
    }

    /// Asks for a renewal and returns what the stream says next.
    ///
    /// # Errors
    /// With which the stream ended.
    pub async fn try_renew(&mut self, id: i64) -> Result<Option<LeaseKeepAliveResponse>, Status> {
        self.ask(id).await;
        self.next().await
    }

    /// Asks for a renewal. When the stream has ended, its answers tell why.
    pub async fn ask(&self, id: i64) {
        let _ = self.requests.send(LeaseKeepAliveRequest { id }).await;
    }

    /// What the stream says next.
    ///
    /// # Errors
    /// With which the stream ended.
    pub async fn next(&mut self) -> Result<Option<LeaseKeepAliveResponse>, Status> {
        within(self.answers.message()).await
    }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::from_shared(url.to_owned()).expect("it is a URL").connect_timeout(SOON).timeout(ANSWER)
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.expect("every answer has a header").revision
}
