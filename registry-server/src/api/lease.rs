//! The Lease service.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::{FutureExt, StreamExt, stream};
use registry_proto::etcdserverpb::lease_server::Lease;
use registry_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::asked::{Question, remaining};
use super::backend::SharedBackend;
use super::caller::{Caller, Permitted};
use super::keep_alive::{KEEP_ALIVES_A_ROUND, keep_alive_round};
use super::require_leader::RequireLeader;
use super::status::WireError;
use super::steps::step;
use crate::apply::lease_keys;
use crate::auth::Auth;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Author, LeaseId, Runtime};

/// The Lease service over a backend; its streams end when `stop` is cancelled.
pub struct LeaseService<R: Runtime, V: Vfs> {
    backend: SharedBackend<R, V>,
    leader: Arc<RequireLeader>,
    stop: CancellationToken,
}

impl<R: Runtime, V: Vfs> LeaseService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>, leader: Arc<RequireLeader>, stop: CancellationToken) -> Self {
        Self { backend, leader, stop }
    }

    /// Whoever has said who it is may know what remains of a lease, and the keys under it only if it may read them all.
    async fn permit_lease(&self, caller: &Caller, id: LeaseId, with_keys: bool) -> Result<Permitted, Status> {
        let check = |auth: &Auth, author: &Author| {
            auth.check_named(author)?;
            if !with_keys {
                return Ok(());
            }
            let leases = self.backend.state.leases.read();
            lease_keys(auth, &leases, author, id, |rights, keys| rights.read_each(keys))
        };
        Ok(Permitted::to(&self.backend.check_caller(caller, check).await?))
    }

    /// As in etcd, who may not read a key under any of them may not list them.
    async fn permit_all(&self, caller: &Caller) -> Result<Permitted, Status> {
        let author = self.backend.check_caller(caller, |auth, author| auth.check_named(author)).await?;
        let permitted = Permitted::to(&author);
        if self.backend.is_admin(&author) {
            return Ok(permitted);
        }
        let mut checked = LeaseId(i64::MIN);
        loop {
            let check = |auth: &Auth, author: &Author| {
                let leases = self.backend.state.leases.read();
                let mut some = leases.iter_from(checked).take(LEASES_AT_ONCE);
                some.try_for_each(|(id, _)| {
                    lease_keys(auth, &leases, author, id, |rights, keys| rights.read_each(keys))
                })
            };
            self.backend.check_caller(caller, check).await?;
            // Writers wait for the lock: some at a time.
            let next = self.backend.state.leases.read().iter_from(checked).nth(LEASES_AT_ONCE).map(|(id, _)| id);
            let Some(next) = next else { return Ok(permitted) };
            checked = next;
            tokio::task::yield_now().await;
        }
    }
}

/// Leases whose keys are looked at under one lock.
const LEASES_AT_ONCE: usize = 256;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Lease for LeaseService<R, V> {
    async fn lease_grant(
        &self,
        mut request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let caller = Caller::of(&request);
        while request.get_ref().id == 0 {
            request.get_mut().id = fastrand::i64(1..);
        }
        let _step = step(&request);
        let mut request = request.into_inner();
        request.ttl = request.ttl.max(self.backend.limits.min_lease_ttl_seconds);
        let author = self.backend.author(&caller).await?;
        let (revision, _) = self.backend.propose(&author, &Command::LeaseGrant(request)).await?;
        Ok(Response::new(LeaseGrantResponse {
            header: Some(self.backend.header(revision)),
            id: request.id,
            ttl: request.ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let _step = step(&request);
        let author = self.backend.author(&Caller::of(&request)).await?;
        let revoke = Command::LeaseRevoke(request.into_inner());
        let (revision, _) = self.backend.propose(&author, &revoke).await?;
        Ok(Response::new(LeaseRevokeResponse { header: Some(self.backend.header(revision)) }))
    }

    type LeaseKeepAliveStream = Answers<LeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let backend = self.backend.clone();
        // Authentication may be enabled while the stream is open.
        let caller = Caller::of(&request);
        let (metadata, _, requests) = request.into_parts();
        let lost = self.leader.lost(metadata.as_ref());
        let rounds = requests.ready_chunks(KEEP_ALIVES_A_ROUND);
        let answers = rounds.then(move |round| keep_alive_round(backend.clone(), caller.clone(), round));
        let answers = answers.flat_map(stream::iter).take_until(self.stop.clone().cancelled_owned());
        let stopped = stream::once(std::future::ready(Err(WireError::Stopped.into())));
        // `take_until` also ends when the client has ended its side, and then nothing is wrong.
        let stop = self.stop.clone();
        let end = stopped.filter(move |_| std::future::ready(stop.is_cancelled()));
        let answers = answers.chain(end);
        let Some(lost) = lost else { return Ok(Response::new(Box::pin(answers))) };
        let no_leader = lost.clone().cancelled_owned().map(|()| Err(WireError::NoLeader.into()));
        let leaderless = stream::once(no_leader);
        Ok(Response::new(Box::pin(answers.take_until(lost.cancelled_owned()).chain(leaderless))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let backend = &self.backend;
        let caller = Caller::of(&request);
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        backend.read_barrier().await?;
        let permitted = self.permit_lease(&caller, LeaseId(id), keys).await?;
        let remaining = backend.on_leader(|| remaining(backend, id), Question::Remaining(id)).await?;
        let header = Some(backend.header_now());
        let leases = backend.state.leases.read();
        let response = match leases.get(LeaseId(id)) {
            None => LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() },
            Some(lease) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: i64::try_from(remaining.millis / 1000).unwrap_or(i64::MAX),
                granted_ttl: lease.ttl_seconds,
                keys: if keys { lease.keys.iter().cloned().collect() } else { Vec::new() },
            },
        };
        drop(leases);
        backend.is_still(permitted)?;
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let caller = Caller::of(&request);
        self.backend.read_barrier().await?;
        let permitted = self.permit_all(&caller).await?;
        let leases = self.backend.state.leases.read().iter().map(|(id, _)| LeaseStatus { id: id.0 }).collect();
        self.backend.is_still(permitted)?;
        Ok(Response::new(LeaseLeasesResponse { header: Some(self.backend.header_now()), leases }))
    }
}
