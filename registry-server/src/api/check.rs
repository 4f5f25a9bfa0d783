//! What a request may hold, checked before it is proposed; a pure function for each kind.
//!
//! The rules and their order are etcd's, because a request that breaks two of them must get the answer
//! etcd gives. What passes here still can fail when it is applied: unknown leases, missing keys,
//! compacted revisions. `overlap` holds the rule about keys written twice in a transaction.

use prost::Message;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use tonic::Status;

use super::overlap;
use super::status::WireError;

/// A range needs a key, and sort options that exist.
///
/// # Errors
/// [`WireError::EmptyKey`], [`WireError::InvalidSortOption`].
pub fn range(request: &RangeRequest) -> Result<(), WireError> {
    check_key(&request.key)?;
    SortOrder::try_from(request.sort_order).map_err(|_| WireError::InvalidSortOption)?;
    SortTarget::try_from(request.sort_target).map_err(|_| WireError::InvalidSortOption)?;
    Ok(())
}

/// A streamed range comes in the store's own order and unfiltered.
///
/// # Errors
/// Those of [`range`], and `Unimplemented` for a custom order and for revision filters.
pub fn range_stream(request: &RangeRequest) -> Result<(), Status> {
    range(request)?;
    let order = request.sort_order();
    let by_key = request.sort_target() == SortTarget::Key;
    if !(order == SortOrder::None || (by_key && order == SortOrder::Ascend)) {
        return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
    }
    let filters =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    if filters.iter().any(|revision| *revision != 0) {
        return Err(Status::unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

/// A put needs a key, and cannot both give a value or lease and keep the old one.
///
/// # Errors
/// [`WireError::EmptyKey`], [`WireError::ValueProvided`], [`WireError::LeaseProvided`].
pub fn put(request: &PutRequest) -> Result<(), WireError> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(WireError::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(WireError::LeaseProvided);
    }
    Ok(())
}

/// A delete needs a key.
///
/// # Errors
/// [`WireError::EmptyKey`].
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), WireError> {
    check_key(&request.key)
}

/// A transaction's operations must each be valid, few enough, and write no key twice.
///
/// A level counts as its largest list of compares, successes or failures; a nested transaction may have
/// what its parents left of `max_ops`.
///
/// # Errors
/// [`WireError::TooManyOps`], [`WireError::DuplicateKey`], [`WireError::KeyNotFound`] for an operation that
/// is none, and those of the operations.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), WireError> {
    // The count first: it bounds what the search for overlaps costs.
    txn_level(request, max_ops)?;
    overlap::check(&request.success)?;
    overlap::check(&request.failure)
}

/// A request must fit into `max_bytes` once encoded.
///
/// # Errors
/// [`WireError::RequestTooLarge`].
pub fn size(request: &impl Message, max_bytes: usize) -> Result<(), WireError> {
    if request.encoded_len() > max_bytes { Err(WireError::RequestTooLarge) } else { Ok(()) }
}

fn check_key(key: &[u8]) -> Result<(), WireError> {
    if key.is_empty() { Err(WireError::EmptyKey) } else { Ok(()) }
}

/// One level and those below it. Every level takes at least one operation from its children, and the
/// decoder bounds the nesting, so this ends soon.
fn txn_level(request: &TxnRequest, max_ops: usize) -> Result<(), WireError> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = max_ops.checked_sub(ops).ok_or(WireError::TooManyOps)?;
    for compare in &request.compare {
        check_key(&compare.key)?;
    }
    request.success.iter().chain(&request.failure).try_for_each(|op| operation(op, left))
}

fn operation(op: &RequestOp, max_ops: usize) -> Result<(), WireError> {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => txn_level(request, max_ops),
        None => Err(WireError::KeyNotFound),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
