//! The Election service: the oldest key below a name is the leader's, its value what the leader proclaims.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::{DeleteRangeRequest, ResponseHeader};
use registry_proto::v3electionpb::election_server::Election;
use registry_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use tonic::{Request, Response, Status};

use super::observe::{first, observe};
use super::place::{Lost, Place};
use super::session::{Session, Sessions, if_created_at, put};
use crate::storage::Vfs;
use crate::types::Runtime;

/// As etcd's client library says these.
const NOT_LEADER: &str = "election: not leader";
const NO_LEADER: &str = "election: no leader";
const NO_LEADER_KEY: &str = "\"leader\" field must be provided";
/// etcd answers a campaign whose key went while it waited as if it had won.
const EXPIRED: &str = "election: session is expired";

/// The Election service over sessions.
pub struct ElectionService<R: Runtime, V: Vfs>(Arc<Sessions<R, V>>);

impl<R: Runtime, V: Vfs> ElectionService<R, V> {
    /// A service over `sessions`.
    pub fn new(sessions: Arc<Sessions<R, V>>) -> Self {
        Self(sessions)
    }
}

/// Gives the key of a leader another value, if it is still the one that the leader won with.
async fn proclaim<R: Runtime, V: Vfs>(
    session: &Session<R, V>,
    key: &Bytes,
    created: i64,
    value: Bytes,
    lease: i64,
) -> Result<ResponseHeader, Status> {
    let answer = session.txn(if_created_at(key, created, put(key, value, lease))).await?;
    if answer.succeeded { Ok(answer.header.unwrap_or_default()) } else { Err(Status::unknown(NOT_LEADER)) }
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Election for ElectionService<R, V> {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let session = self.0.begin(&request);
        let CampaignRequest { name, lease, value } = request.into_inner();
        let lease = session.lease(lease).await?;
        let (mut place, taken) = Place::take(&session, &name, lease, value.clone()).await?;
        if let Some(before) = taken.before.filter(|before| before.value != value) {
            proclaim(&session, &place.key, before.create_revision, value, lease).await?;
        }
        match place.turn().await {
            Ok(_) => {}
            Err(Lost::Place) => return Err(Status::unknown(EXPIRED)),
            Err(Lost::Call(status)) => return Err(status),
        }
        let (key, rev) = place.keep();
        let leader = LeaderKey { name, key, rev, lease };
        Ok(Response::new(CampaignResponse { header: Some(taken.header), leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let session = self.0.begin(&request);
        let ProclaimRequest { leader, value } = request.into_inner();
        let LeaderKey { key, rev, lease, .. } = leader.ok_or_else(|| Status::unknown(NO_LEADER_KEY))?;
        let lease = session.lease(lease).await?;
        let header = proclaim(&session, &key, rev, value, lease).await?;
        Ok(Response::new(ProclaimResponse { header: Some(header) }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let session = self.0.begin(&request);
        let (header, kv) = first(&session, &request.into_inner().name, None).await?;
        let kv = kv.ok_or_else(|| Status::unknown(NO_LEADER))?;
        Ok(Response::new(LeaderResponse { header: Some(header), kv: Some(kv) }))
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let session = self.0.begin(&request);
        Ok(Response::new(Box::pin(observe(session, request.into_inner().name))))
    }

    /// Giving up what one does not have is no error, as in etcd.
    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let session = self.0.begin(&request);
        let leader = request.into_inner().leader;
        let LeaderKey { key, rev, .. } = leader.ok_or_else(|| Status::unknown(NO_LEADER_KEY))?;
        let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
        let answer = session.txn(if_created_at(&key, rev, Operation::RequestDeleteRange(delete))).await?;
        Ok(Response::new(ResignResponse { header: answer.header }))
    }
}

impl<R: Runtime, V: Vfs> std::fmt::Debug for ElectionService<R, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ElectionService")
    }
}
