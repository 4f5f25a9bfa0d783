//! Whether whoever wants a command may have it done: asked before it is proposed, and again when it is applied, which counts.
//!
//! The rules are etcd's. Of a transaction every operation is looked at, of both branches and of all that is nested in
//! them, whichever is taken.

use std::collections::BTreeSet;

use bytes::Bytes;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

use crate::auth::{Auth, AuthError, Rights};
use crate::command::Command;
use crate::lease::Leases;
use crate::types::{Author, LeaseId};

/// Checks a command that somebody wants.
///
/// # Errors
/// Why it is not done.
pub fn permit(auth: &Auth, leases: &Leases, author: &Author, command: &Command) -> Result<(), AuthError> {
    if !auth.is_enabled() {
        return Ok(());
    }
    match command {
        Command::Put(request) => put(&auth.rights(author)?, leases, request),
        Command::DeleteRange(request) => delete_range(&auth.rights(author)?, request),
        Command::Txn(request) => permit_txn(&auth.rights(author)?, leases, request),
        Command::LeaseGrant(_) => auth.check_named(author),
        Command::LeaseRevoke(request) => {
            auth.check_named(author)?;
            lease_keys(auth, leases, author, LeaseId(request.id), |rights, keys| rights.write_each(keys))
        }
        Command::Compact(_) | Command::Alarm(_) | Command::Member(_) | Command::Auth(_) => auth.check_admin(author),
        // No client can ask for these: what a member does on its own, and a token of which the password was right.
        Command::Publish(_)
        | Command::LeaseCheckpoint(_)
        | Command::LeaseExpire(_)
        | Command::MemberVersion(_)
        | Command::Token(_) => Ok(()),
    }
}

/// Checks a transaction, also one that only reads.
///
/// # Errors
/// [`AuthError::PermissionDenied`].
pub fn permit_txn(rights: &Rights<'_>, leases: &Leases, request: &TxnRequest) -> Result<(), AuthError> {
    request.compare.iter().try_for_each(|compare| rights.read(&compare.key, &compare.range_end))?;
    let mut operations = request.success.iter().chain(&request.failure);
    operations.try_for_each(|operation| permit_operation(rights, leases, operation))
}

fn permit_operation(rights: &Rights<'_>, leases: &Leases, operation: &RequestOp) -> Result<(), AuthError> {
    match &operation.request {
        Some(Request::RequestRange(request)) => rights.read(&request.key, &request.range_end),
        Some(Request::RequestPut(request)) => put(rights, leases, request),
        Some(Request::RequestDeleteRange(request)) => delete_range(rights, request),
        Some(Request::RequestTxn(request)) => permit_txn(rights, leases, request),
        None => Ok(()),
    }
}

fn put(rights: &Rights<'_>, leases: &Leases, request: &PutRequest) -> Result<(), AuthError> {
    rights.write(&request.key, b"")?;
    if request.prev_kv {
        rights.read(&request.key, b"")?;
    }
    // Who attaches a key to a lease has it deleted with the others; and who may not revoke a lease may not use it.
    if request.lease == 0 || rights.may_all() {
        return Ok(());
    }
    let lease = leases.get(LeaseId(request.lease));
    lease.map_or(Ok(()), |lease| rights.write_each(&lease.keys))
}

fn delete_range(rights: &Rights<'_>, request: &DeleteRangeRequest) -> Result<(), AuthError> {
    rights.write(&request.key, &request.range_end)?;
    if request.prev_kv {
        rights.read(&request.key, &request.range_end)?;
    }
    Ok(())
}

/// Checks each key under a lease; the root role needs none of that, and a lease without keys is anybody's.
///
/// # Errors
/// What `check` says of them, or who asks.
pub fn lease_keys(
    auth: &Auth,
    leases: &Leases,
    author: &Author,
    id: LeaseId,
    check: impl Fn(&Rights<'_>, &BTreeSet<Bytes>) -> Result<(), AuthError>,
) -> Result<(), AuthError> {
    let Some(lease) = leases.get(id).filter(|lease| !lease.keys.is_empty()) else { return Ok(()) };
    if auth.check_admin(author).is_ok() {
        return Ok(());
    }
    check(&auth.rights(author)?, &lease.keys)
}
