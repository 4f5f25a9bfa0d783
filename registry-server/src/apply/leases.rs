//! Granting and revoking leases.

use registry_proto::etcdserverpb::LeaseGrantRequest;

use super::reply::ApplyError;
use crate::lease::Leases;
use crate::mvcc::{Committed, Store};
use crate::types::LeaseId;

/// Makes a lease of exactly this id and TTL.
pub(super) fn grant(request: &LeaseGrantRequest, leases: &mut Leases) -> Result<(), ApplyError> {
    Ok(leases.grant(LeaseId(request.id), request.ttl)?)
}

/// Ends a lease and deletes its keys, in their order and in one revision.
pub(super) fn revoke(id: LeaseId, store: &mut Store, leases: &mut Leases) -> Result<Committed, ApplyError> {
    let lease = leases.revoke(id).ok_or(ApplyError::LeaseNotFound)?;
    let mut txn = store.write();
    for key in &lease.keys {
        txn.delete_range(key, &[]);
    }
    Ok(txn.end())
}
