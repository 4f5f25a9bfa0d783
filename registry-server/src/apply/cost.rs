//! What a command may cost of the quota: an estimate, before it is proposed, of the room it takes.
//!
//! What costs nothing goes on while the space is exceeded: reading, deleting, compacting, and all of leases
//! but granting them. The figures of keys are etcd's, so that the same requests are refused; those of leases are what
//! they take here.

use prost::Message;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

use crate::command::{AuthAction, AuthChange, Command};
use crate::lease::{ATTACHED_KEY_BYTES, LEASE_BYTES};

/// What is kept for a key beside itself and its value, in bytes.
const KEY_OVERHEAD_BYTES: u64 = 256;

/// The room that a command may take, in bytes; zero for what never adds a key or a lease.
#[must_use]
pub fn cost(command: &Command) -> u64 {
    match command {
        Command::Put(request) => put(request),
        Command::Txn(request) => txn(request),
        Command::LeaseGrant(_) => LEASE_BYTES,
        Command::Auth(change) => auth(change),
        Command::DeleteRange(_)
        | Command::Compact(_)
        | Command::LeaseRevoke(_)
        | Command::Publish(_)
        | Command::Alarm(_)
        | Command::LeaseCheckpoint(_)
        | Command::LeaseExpire(_)
        | Command::Member(_)
        | Command::MemberVersion(_)
        | Command::Token(_) => 0,
    }
}

/// What adds to users and roles. Who takes away, or closes the door, never waits for room.
fn auth(change: &AuthChange) -> u64 {
    match change.action {
        Some(
            AuthAction::UserAdd(_)
            | AuthAction::UserGrantRole(_)
            | AuthAction::RoleAdd(_)
            | AuthAction::RoleGrantPermission(_),
        ) => KEY_OVERHEAD_BYTES + change.encoded_len() as u64,
        _ => 0,
    }
}

fn put(request: &PutRequest) -> u64 {
    let attached = if request.lease == 0 { 0 } else { request.key.len() as u64 + ATTACHED_KEY_BYTES };
    KEY_OVERHEAD_BYTES + (request.key.len() + request.value.len()) as u64 + attached
}

/// The dearer of the two branches, as nobody knows yet which one is taken.
fn txn(request: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| ops.iter().map(operation).sum::<u64>();
    branch(&request.success).max(branch(&request.failure))
}

fn operation(op: &RequestOp) -> u64 {
    match &op.request {
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestTxn(request)) => txn(request),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{LeaseCheckpoints, LeaseExpiry};
    use registry_proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest};

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn put_of(len: usize) -> PutRequest {
        PutRequest { key: "k".into(), value: vec![0; len].into(), ..PutRequest::default() }
    }

    #[test]
    fn a_transaction_costs_its_dearer_branch_with_what_is_nested_in_it() {
        let nested = TxnRequest { failure: vec![op(Request::RequestPut(put_of(1_000)))], ..TxnRequest::default() };
        let request = TxnRequest {
            success: vec![op(Request::RequestPut(put_of(10)))],
            failure: vec![op(Request::RequestPut(put_of(10))), op(Request::RequestTxn(nested))],
            ..TxnRequest::default()
        };
        assert_eq!(cost(&Command::Txn(request)), 2 * 257 + 1_010);
    }

    #[test]
    fn only_what_adds_something_costs_anything() {
        assert_eq!(cost(&Command::Put(put_of(3))), 260);
        assert_eq!(cost(&Command::LeaseGrant(LeaseGrantRequest::default())), LEASE_BYTES);
        let attached = PutRequest { lease: 7, ..put_of(3) };
        assert_eq!(cost(&Command::Put(attached)), 261 + ATTACHED_KEY_BYTES);
        let delete = op(Request::RequestDeleteRange(DeleteRangeRequest::default()));
        let free = [
            Command::Txn(TxnRequest { success: vec![delete], ..TxnRequest::default() }),
            Command::DeleteRange(DeleteRangeRequest::default()),
            Command::Compact(CompactionRequest::default()),
            Command::LeaseRevoke(LeaseRevokeRequest::default()),
            Command::LeaseExpire(LeaseExpiry::default()),
            Command::LeaseCheckpoint(LeaseCheckpoints::default()),
        ];
        assert!(free.iter().all(|command| cost(command) == 0));
    }
}
