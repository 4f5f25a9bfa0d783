//! What a test does to the registry behind its client's back.

use std::time::Duration;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseLeasesRequest, LeaseRevokeRequest, MoveLeaderRequest, PutRequest,
    RangeRequest, StatusRequest,
};
use registry_proto::mvccpb::KeyValue;
use tonic::transport::{Channel, Endpoint};

use super::TestingError;

/// What an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// A way to one member of the test's own; it connects when it is used, and again when it has to.
#[derive(Debug, Clone)]
pub(super) struct Calls(Channel);

/// What a member says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) id: u64,
    /// 0 for none.
    pub(super) leader: u64,
}

impl Calls {
    pub(super) fn to(url: String) -> Result<Self, TestingError> {
        let not_one = |error: tonic::transport::Error| TestingError::Call { call: "Dial", message: error.to_string() };
        let endpoint = Endpoint::from_shared(url).map_err(not_one)?;
        Ok(Self(endpoint.connect_timeout(ANSWER).timeout(ANSWER).connect_lazy()))
    }

    pub(super) async fn get(&self, key: &str) -> Result<(i64, Option<KeyValue>), TestingError> {
        let request = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
        let answer = KvClient::new(self.0.clone()).range(request).await.map_err(TestingError::call("Range"))?;
        let answer = answer.into_inner();
        let unreadable =
            |error: &dyn std::error::Error| TestingError::Call { call: "Range", message: error.to_string() };
        let kvs = answer.kvs.into_messages().map_err(|error| unreadable(&error))?;
        Ok((answer.header.unwrap_or_default().revision, kvs.into_iter().next()))
    }

    pub(super) async fn put(&self, key: &str, value: &str) -> Result<(), TestingError> {
        let request =
            PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
        let put = KvClient::new(self.0.clone()).put(request).await;
        put.map(drop).map_err(TestingError::call("Put"))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), TestingError> {
        let request = DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() };
        let deleted = KvClient::new(self.0.clone()).delete_range(request).await;
        deleted.map(drop).map_err(TestingError::call("DeleteRange"))
    }

    pub(super) async fn compact(&self, revision: i64) -> Result<(), TestingError> {
        let request = CompactionRequest { revision, physical: true };
        let compacted = KvClient::new(self.0.clone()).compact(request).await;
        compacted.map(drop).map_err(TestingError::call("Compact"))
    }

    pub(super) async fn leases(&self) -> Result<Vec<i64>, TestingError> {
        let answer = LeaseClient::new(self.0.clone()).lease_leases(LeaseLeasesRequest {}).await;
        let answer = answer.map_err(TestingError::call("LeaseLeases"))?.into_inner();
        Ok(answer.leases.into_iter().map(|lease| lease.id).collect())
    }

    pub(super) async fn revoke(&self, id: i64) -> Result<(), TestingError> {
        let revoked = LeaseClient::new(self.0.clone()).lease_revoke(LeaseRevokeRequest { id }).await;
        revoked.map(drop).map_err(TestingError::call("LeaseRevoke"))
    }

    pub(super) async fn standing(&self) -> Result<Standing, TestingError> {
        let answer = MaintenanceClient::new(self.0.clone()).status(StatusRequest {}).await;
        let answer = answer.map_err(TestingError::call("Status"))?.into_inner();
        Ok(Standing { id: answer.header.unwrap_or_default().member_id, leader: answer.leader })
    }

    /// To be asked of the leader.
    pub(super) async fn move_leader(&self, target_id: u64) -> Result<(), TestingError> {
        let moved = MaintenanceClient::new(self.0.clone()).move_leader(MoveLeaderRequest { target_id }).await;
        moved.map(drop).map_err(TestingError::call("MoveLeader"))
    }
}
