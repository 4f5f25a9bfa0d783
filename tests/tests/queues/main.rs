//! Lock and Election through a real client: whose turn it is, and that nobody who left stands in the way.
//!
//! `etcdctl` brings its own locks and elections, over keys: these are to be the same ones.

mod elections;
mod leaving;
mod locks;
mod members;
mod tool;

use bytes::Bytes;
use registry_proto::mvccpb::KeyValue;
use registry_proto::v3electionpb::election_client::ElectionClient;
use registry_proto::v3electionpb::{CampaignRequest, LeaderKey};
use registry_proto::v3lockpb::lock_client::LockClient;
use registry_proto::v3lockpb::{LockRequest, UnlockRequest};
use registry_tests::budget::SOON;
use registry_tests::requests::prefix;
use registry_tests::{Client, eventually};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// One connection with the services of this suite.
#[derive(Debug, Clone)]
struct Queues {
    lock: LockClient<Channel>,
    election: ElectionClient<Channel>,
    client: Client,
}

impl Queues {
    async fn connect(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL");
        let channel = endpoint.connect().await.expect("the node serves");
        Self {
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel),
            client: Client::lazy(url),
        }
    }

    /// Locks, and tells the key.
    async fn lock(&self, name: &str, lease: i64) -> Result<Bytes, Status> {
        let request = LockRequest { name: name.to_owned().into(), lease };
        self.lock.clone().lock(request).await.map(|answer| answer.into_inner().key)
    }

    async fn unlock(&self, key: Bytes) {
        self.lock.clone().unlock(UnlockRequest { key }).await.expect("unlocking is taken");
    }

    async fn campaign(&self, name: &str, lease: i64, value: &str) -> Result<LeaderKey, Status> {
        let request = CampaignRequest { name: name.to_owned().into(), lease, value: value.to_owned().into() };
        let answer = self.election.clone().campaign(request).await.map(Response::into_inner)?;
        Ok(answer.leader.expect("who won has a key"))
    }

    /// The keys below a name.
    async fn line(&self, name: &str) -> Vec<KeyValue> {
        self.client.range(prefix(&format!("{name}/"))).await
    }

    async fn wait_for_line(&self, name: &str, len: usize) {
        eventually(SOON, "so many wait", async || self.line(name).await.len() == len).await;
    }

    /// A lock that is waited for, once it stands in the line as the `len`th.
    async fn waiting_for_lock(&self, name: &str, lease: i64, len: usize) -> JoinHandle<Result<Bytes, Status>> {
        let (queues, wanted) = (self.clone(), name.to_owned());
        let waiting = tokio::spawn(async move { queues.lock(&wanted, lease).await });
        self.wait_for_line(name, len).await;
        waiting
    }
}
