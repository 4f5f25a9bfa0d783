//! Keep-alives: renewed on the leader's clock, after the log has taken back what it says of the lease.
//!
//! A lease of which a checkpoint was recorded would have no more than that after a restart, so the record is
//! reset to the whole TTL, and that committed, before the renewal is answered. Leases without one, which is
//! nearly all that are kept alive in time, cost no entry. A member that does not lead asks the leader, for all
//! that came in together at once.

use std::collections::BTreeSet;

use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tonic::Status;

use super::asked::{Question, Renewals};
use super::backend::{Backend, SharedBackend};
use super::caller::Caller;
use super::status::WireError;
use crate::apply::lease_keys;
use crate::auth::Auth;
use crate::command::{Command, LeaseCheckpoint, LeaseCheckpoints};
use crate::consensus::ReadError;
use crate::lease::Renewal;
use crate::storage::Vfs;
use crate::types::planted::{Bug, planted};
use crate::types::{Author, Grant, LeaseId, Runtime};

/// Keep-alives of one stream that share one confirmation of leadership.
pub(super) const KEEP_ALIVES_A_ROUND: usize = 256;

/// Renews what came in together.
pub(super) async fn keep_alive_round<R: Runtime, V: Vfs>(
    backend: SharedBackend<R, V>,
    caller: Caller,
    round: Vec<Result<LeaseKeepAliveRequest, Status>>,
) -> Vec<Result<LeaseKeepAliveResponse, Status>> {
    let ids: Vec<i64> = round.iter().flatten().map(|request| request.id).collect();
    if let Err(status) = check_renewal(&backend, &caller, &ids).await {
        return vec![Err(status)];
    }
    // The revision of an answer is one at which it holds: a lease that is renewed now was alive before, one that
    // is gone now is gone afterwards.
    let before = backend.header_now();
    let renewed = match backend.on_leader(|| renew(&backend, &ids), Question::Renew(ids.clone())).await {
        Ok(renewed) => renewed,
        Err(status) => return vec![Err(status)],
    };
    let mut ttls = renewed.ttls.into_iter();
    let answer = |request: Result<LeaseKeepAliveRequest, Status>| {
        let id = request?.id;
        let ttl = ttls.next().unwrap_or_default();
        let header = if ttl > 0 { before } else { backend.header_now() };
        Ok(LeaseKeepAliveResponse { header: Some(header), id, ttl })
    };
    round.into_iter().map(answer).collect()
}

/// Who may not write a key may not keep it alive either, as in etcd.
async fn check_renewal<R: Runtime, V: Vfs>(
    backend: &Backend<R, V>,
    caller: &Caller,
    ids: &[i64],
) -> Result<(), Status> {
    let check = |auth: &Auth, author: &Author| {
        auth.check_named(author)?;
        let leases = backend.state.leases.read();
        let check = |id: i64| lease_keys(auth, &leases, author, LeaseId(id), |rights, keys| rights.write_each(keys));
        // Each once, however often it is kept alive in a round.
        ids.iter().copied().collect::<BTreeSet<_>>().into_iter().try_for_each(check)
    };
    backend.check_caller(caller, check).await.map(drop)
}

/// Renews leases on the member that leads, and gives their TTLs in seconds, 0 for those that are not there.
///
/// Nothing is renewed before leadership is confirmed, or answered if it may have been lost meanwhile: an old
/// leader must not promise a lease that the new one revokes.
///
/// # Errors
/// None inside is a leader's: this member does not lead.
pub(super) async fn renew<R: Runtime, V: Vfs>(
    backend: &Backend<R, V>,
    ids: &[i64],
) -> Result<Option<Renewals>, Status> {
    let own = backend.keeper.leading().filter(|_| planted(Bug::KeepAliveUnconfirmed));
    let confirmed = match own {
        Some(term) => Ok(term),
        None => backend.node.confirm_leading().await,
    };
    let term = match confirmed {
        Ok(term) => term,
        Err(ReadError::Stopped) => return Err(WireError::Stopped.into()),
        Err(_) => return Ok(None),
    };
    if backend.keeper.leading() != Some(term) {
        return Ok(None);
    }
    // Those that need it share one entry: after a restart, these are all that nobody kept alive before it.
    let recorded = backend.keeper.recorded_among(ids.iter().copied().map(LeaseId));
    if !recorded.is_empty() {
        reset(backend, term, &recorded).await?;
    }
    let mut ttls = Vec::with_capacity(ids.len());
    for id in ids {
        match renew_one(backend, term, LeaseId(*id)).await? {
            Some(ttl) => ttls.push(ttl),
            None => return Ok(None),
        }
    }
    let leads = backend.node.still_leads(term).await || planted(Bug::KeepAliveUnconfirmed);
    Ok(leads.then_some(Renewals { ttls }))
}

async fn renew_one<R: Runtime, V: Vfs>(backend: &Backend<R, V>, term: u64, id: LeaseId) -> Result<Option<i64>, Status> {
    loop {
        return Ok(match backend.keeper.renew(id).await {
            Renewal::Renewed(ttl) => Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
            Renewal::Unknown => Some(0),
            Renewal::NotLeading => None,
            // It was recorded after the round had looked.
            Renewal::Recorded(grant) => {
                reset(backend, term, &[grant]).await?;
                continue;
            }
        });
    }
}

/// Has the log say that these leases have their whole TTL. In another term it says nothing, and leadership is lost.
async fn reset<R: Runtime, V: Vfs>(backend: &Backend<R, V>, term: u64, grants: &[Grant]) -> Result<(), Status> {
    let checkpoints = grants.iter().map(|grant| LeaseCheckpoint::of(*grant, 0)).collect();
    let reset = Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints, term });
    backend.propose(&Author::Member, &reset).await.map(drop)
}
