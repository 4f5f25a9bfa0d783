//! The Maintenance service: status, hashes, snapshots, alarms, defragmentation, and who leads.

use std::pin::Pin;

use futures_core::Stream;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::maintenance_server::Maintenance;
use registry_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeInfo, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::backend::{SharedBackend, mismatch};
use super::caller::Caller;
use super::downgrade::downgrade;
use super::snapshot::Snapshots;
use super::status::WireError;
use super::version::{ETCD_VERSION, STORAGE_VERSION};
use crate::apply::Outcome;
use crate::command::Command;
use crate::consensus::{HandoverError, RaftStatus};
use crate::storage::Vfs;
use crate::types::{MemberId, Revision, Runtime};

/// What a store without keys is said to take. etcd's file is never empty, so its clients read a size of 0 as
/// "not told".
const EMPTY_STORE_BYTES: u64 = 4096;

/// The Maintenance service over a backend.
pub struct MaintenanceService<R: Runtime, V: Vfs>(SharedBackend<R, V>, Snapshots);

impl<R: Runtime, V: Vfs> MaintenanceService<R, V> {
    /// A service over `backend`. Its snapshots end when `stop` is cancelled.
    pub fn new(backend: SharedBackend<R, V>, stop: CancellationToken) -> Self {
        Self(backend, Snapshots::new(stop))
    }

    async fn check_admin<T>(&self, what: &str, request: &Request<T>) -> Result<(), Status> {
        let caller = Caller::of(request);
        let checked = self.0.check_caller(&caller, |auth, author| auth.check_admin(author)).await;
        self.0.tell(&caller, what, String::new, &checked);
        checked.map(drop)
    }

    async fn check_named(&self, caller: &Caller) -> Result<(), Status> {
        self.0.check_caller(caller, |auth, author| auth.check_named(author)).await.map(drop)
    }

    /// What Status tells as errors.
    fn ailments(&self, raft: &RaftStatus) -> Vec<String> {
        let leaderless = raft.leader.is_none().then(|| WireError::NoLeader.text().to_owned());
        let alarms = self.0.state.alarms.read();
        let alarms =
            alarms.iter().map(|(member, alarm)| format!("memberID:{} alarm:{}", member.0, alarm.as_str_name()));
        leaderless.into_iter().chain(alarms).collect()
    }
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Maintenance for MaintenanceService<R, V> {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        if request.action() == AlarmAction::Get {
            self.check_named(&caller).await?;
            self.0.read_barrier().await?;
            let alarms = self.0.state.alarms.read().of(request.alarm());
            return Ok(Response::new(AlarmResponse { header: Some(self.0.header_now()), alarms }));
        }
        let author = self.0.author(&caller).await?;
        let (revision, outcome) = self.0.propose(&author, &Command::Alarm(request)).await?;
        let Outcome::Alarm(alarms) = outcome else { return Err(mismatch()) };
        Ok(Response::new(AlarmResponse { header: Some(self.0.header(revision)), alarms }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.check_named(&Caller::of(&request)).await?;
        let raft = self.0.node.status();
        let sizes = self.0.state.sizes();
        // etcd tells the negative number that switched it off.
        let quota = if self.0.limits.quota_bytes == 0 { -1 } else { self.0.limits.quota_bytes as i64 };
        Ok(Response::new(StatusResponse {
            header: Some(self.0.header_now()),
            version: ETCD_VERSION.to_owned(),
            db_size: (EMPTY_STORE_BYTES + sizes.held_bytes) as i64,
            leader: raft.leader.map_or(0, |leader| leader.0),
            raft_index: raft.last_index,
            raft_term: raft.term,
            raft_applied_index: raft.applied_index,
            errors: self.ailments(&raft),
            db_size_in_use: (EMPTY_STORE_BYTES + sizes.live_bytes) as i64,
            is_learner: self.0.is_learner(),
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: quota,
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    async fn defragment(&self, request: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        self.check_admin("defragment", &request).await?;
        self.0.defragment().await?;
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.check_admin("hash", &request).await?;
        let (hash, revision) = self.0.hash_whole().await?;
        Ok(Response::new(HashResponse { header: Some(self.0.header(revision)), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.check_admin("hash_kv", &request).await?;
        self.0.hash_kv(Revision(request.into_inner().revision)).await.map(Response::new)
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.check_admin("snapshot", &request).await?;
        self.1.begin(&self.0).await.map(Response::new)
    }

    /// As in etcd, only the leader takes it, and the answer is empty: it has no header.
    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        self.check_admin("move_leader", &request).await?;
        let target = MemberId(request.into_inner().target_id);
        if target != self.0.member {
            self.0.node.hand_over(Some(target)).await.map_err(|error| match error {
                HandoverError::NotLeader => WireError::NotLeader,
                HandoverError::BadTarget => WireError::BadLeaderTransferee,
                HandoverError::TimedOut => WireError::TimeoutLeaderTransfer,
            })?;
        } else if self.0.node.status().leader != Some(target) {
            return Err(WireError::NotLeader.into());
        }
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        self.check_admin("downgrade", &request).await?;
        downgrade(request.get_ref()).map(Response::new)
    }
}
