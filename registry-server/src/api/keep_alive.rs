//! Keep-alives: renewed on this node's clock, after the log has taken back what it says of the lease.
//!
//! A lease of which a checkpoint was recorded would have no more than that after a restart, so the record is
//! reset to the whole TTL, and that committed, before the renewal is answered. Leases without one, which is
//! nearly all that are kept alive in time, cost no entry.

use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tonic::Status;

use super::backend::{Backend, SharedBackend};
use crate::command::{Command, LeaseCheckpoint, LeaseCheckpoints};
use crate::lease::Renewal;
use crate::storage::Vfs;
use crate::types::{Grant, LeaseId, Runtime};

/// Keep-alives of one stream that share one confirmation of leadership.
pub(super) const KEEP_ALIVES_A_ROUND: usize = 256;

/// Renews what came in together. Nothing is renewed before leadership is confirmed: an old leader must not
/// promise a lease that the new one revokes.
pub(super) async fn keep_alive_round<R: Runtime, V: Vfs>(
    backend: SharedBackend<R, V>,
    round: Vec<Result<LeaseKeepAliveRequest, Status>>,
) -> Vec<Result<LeaseKeepAliveResponse, Status>> {
    if let Err(status) = backend.read_barrier().await {
        return vec![Err(status)];
    }
    // Those that need it share one entry: after a restart, these are all that nobody kept alive before it.
    let recorded = backend.keeper.recorded_among(round.iter().flatten().map(|request| LeaseId(request.id)));
    if !recorded.is_empty()
        && let Err(status) = reset(&backend, &recorded).await
    {
        return vec![Err(status)];
    }
    let mut answers = Vec::with_capacity(round.len());
    for request in round {
        answers.push(match request {
            Ok(request) => keep_alive(&backend, request.id).await,
            Err(status) => Err(status),
        });
    }
    answers
}

async fn keep_alive<R: Runtime, V: Vfs>(backend: &Backend<R, V>, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    loop {
        // The revision of an answer is one at which it holds: a lease that is renewed now was alive before, one that
        // is gone now is gone afterwards.
        let before = backend.header_now();
        let (header, ttl) = match backend.keeper.renew(LeaseId(id)).await {
            Renewal::Renewed(ttl) => (before, i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
            Renewal::Unknown => (backend.header_now(), 0),
            // It was recorded after the round had looked.
            Renewal::Recorded(grant) => {
                reset(backend, &[grant]).await?;
                continue;
            }
        };
        return Ok(LeaseKeepAliveResponse { header: Some(header), id, ttl });
    }
}

/// Has the log say that these leases have their whole TTL.
async fn reset<R: Runtime, V: Vfs>(backend: &Backend<R, V>, grants: &[Grant]) -> Result<(), Status> {
    let checkpoints = grants.iter().map(|grant| LeaseCheckpoint::of(*grant, 0)).collect();
    backend.propose(&Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints })).await.map(drop)
}
