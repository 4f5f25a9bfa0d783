//! Puts, deletes and ranges, alone or inside a transaction.

use bytes::Bytes;
use prost::Message;
use registry_proto::etcdserverpb::range_request::{SortOrder as WireOrder, SortTarget as WireTarget};
use registry_proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use registry_proto::mvccpb::KeyValue;
use registry_proto::stored::Records;

use super::reply::{ApplyError, inner_header};
use crate::lease::Leases;
use crate::mvcc::{RangeAnswer, RangeQuery, Record, SortOrder, SortTarget, WriteTxn};
use crate::types::planted::{Bug, planted};
use crate::types::{LeaseId, Revision};

/// Checks a put against the state before anything is changed.
pub(super) fn check_put<'a>(
    put: &PutRequest,
    leases: &Leases,
    get: impl FnOnce(&[u8]) -> Option<Record<'a>>,
) -> Result<(), ApplyError> {
    if put.lease != 0 && leases.get(LeaseId(put.lease)).is_none() {
        return Err(ApplyError::LeaseNotFound);
    }
    if (put.ignore_value || put.ignore_lease) && get(&put.key).is_none() {
        return Err(ApplyError::KeyNotFound);
    }
    Ok(())
}

/// Writes a key that [`check_put`] let through.
pub(super) fn put(request: &PutRequest, txn: &mut WriteTxn<'_>, leases: &mut Leases) -> PutResponse {
    // What is there costs a search, which most puts can do without.
    let asks = request.ignore_value || request.ignore_lease || request.prev_kv;
    let now = if asks { txn.get(&request.key) } else { None };
    let kept_value = now.filter(|_| request.ignore_value).map(|now| Bytes::copy_from_slice(now.value));
    let kept_lease = now.filter(|_| request.ignore_lease).map(|now| now.lease);
    let prev_kv = now.filter(|_| request.prev_kv).map(|now| stored_key_value(now.to_body()));
    let lease = kept_lease.unwrap_or(LeaseId(request.lease));
    let prev_lease = txn.put(&request.key, kept_value.as_ref().unwrap_or(&request.value), lease);
    let moves = prev_lease != LeaseId(0) && prev_lease != lease;
    let from = if moves && planted(Bug::MovedKeyStaysAttached) { LeaseId(0) } else { prev_lease };
    leases.move_key(&request.key, from, lease);
    PutResponse { header: inner_header(txn.revision()), prev_kv }
}

/// Deletes a range; keys that are not there change nothing.
pub(super) fn delete_range(
    request: &DeleteRangeRequest,
    txn: &mut WriteTxn<'_>,
    leases: &mut Leases,
) -> DeleteRangeResponse {
    let deleted = txn.delete_range(&request.key, &request.range_end);
    for gone in &deleted {
        leases.move_key(&gone.key, gone.lease, LeaseId(0));
    }
    DeleteRangeResponse {
        header: inner_header(txn.revision()),
        deleted: deleted.len() as i64,
        prev_kvs: match request.prev_kv {
            true => deleted.into_iter().map(|gone| stored_key_value(gone.prev)).collect(),
            false => Vec::new(),
        },
    }
}

/// The store's words for a range request.
pub fn range_query(request: &RangeRequest) -> RangeQuery {
    RangeQuery {
        key: request.key.clone(),
        range_end: request.range_end.clone(),
        revision: Revision(request.revision),
        limit: request.limit,
        keys_only: request.keys_only,
        count_only: request.count_only,
        sort_order: match request.sort_order() {
            WireOrder::None => SortOrder::None,
            WireOrder::Ascend => SortOrder::Ascend,
            WireOrder::Descend => SortOrder::Descend,
        },
        sort_target: match request.sort_target() {
            WireTarget::Key => SortTarget::Key,
            WireTarget::Version => SortTarget::Version,
            WireTarget::Create => SortTarget::Create,
            WireTarget::Mod => SortTarget::Mod,
            WireTarget::Value => SortTarget::Value,
        },
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

/// The wire's words for the store's answer.
pub(super) fn range_response(answer: RangeAnswer) -> RangeResponse {
    RangeResponse {
        header: inner_header(answer.revision),
        kvs: Records::Stored(answer.kvs),
        more: answer.more,
        count: answer.count,
    }
}

fn stored_key_value(encoded: Bytes) -> KeyValue {
    KeyValue::decode(encoded).expect("the store holds what it encoded")
}
