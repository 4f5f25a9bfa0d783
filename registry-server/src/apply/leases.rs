//! Granting and revoking leases.

use registry_proto::etcdserverpb::LeaseGrantRequest;

use super::reply::ApplyError;
use crate::lease::Leases;
use crate::mvcc::{Committed, Store};
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, GrantNumber, LeaseId};

/// Makes a lease of exactly this id and TTL.
pub(super) fn grant(request: &LeaseGrantRequest, leases: &mut Leases) -> Result<Grant, ApplyError> {
    Ok(leases.grant(LeaseId(request.id), request.ttl)?)
}

/// Ends this life of a lease, a number of 0 standing for whichever there is, and deletes its keys, in their order and
/// in one revision.
pub(super) fn revoke(grant: Grant, store: &mut Store, leases: &mut Leases) -> Result<Committed, ApplyError> {
    let Grant { id, number } = grant;
    if !leases.get(id).is_some_and(|lease| lease.is(number)) {
        return Err(ApplyError::LeaseNotFound);
    }
    let mut keys: Vec<_> = leases.revoke(id).map(|lease| lease.keys).unwrap_or_default().into_iter().collect();
    if keys.len() > 1 && planted(Bug::RevokeInRandomOrder) {
        fastrand::shuffle(&mut keys);
    }
    let first = usize::from(!keys.is_empty() && planted(Bug::RevokeLeavesKey));
    let mut txn = store.write();
    for key in &keys[first..] {
        txn.delete_range(key, &[]);
    }
    Ok(txn.end())
}

/// Whichever life of a lease there is.
pub(super) fn any_life(id: LeaseId) -> Grant {
    Grant { id, number: GrantNumber(0) }
}
