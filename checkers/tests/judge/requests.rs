//! Short work of requests.

use bytes::Bytes;
use registry_checkers::model::Operation;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), prev_kv: true, ..PutRequest::default() }
}

pub(crate) fn put(key: &str, value: &str) -> Operation {
    Operation::Put(put_request(key, value))
}

pub(crate) fn put_under(key: &str, value: &str, lease: i64) -> Operation {
    Operation::Put(PutRequest { lease, ..put_request(key, value) })
}

pub(crate) fn delete_request(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: true }
}

pub(crate) fn delete(key: &str, end: &str) -> Operation {
    Operation::DeleteRange(delete_request(key, end))
}

pub(crate) fn range(key: &str, end: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), range_end: bytes(end), ..RangeRequest::default() }
}

pub(crate) fn read(key: &str, end: &str) -> Operation {
    Operation::Range(range(key, end))
}

pub(crate) fn read_at(key: &str, end: &str, revision: i64) -> Operation {
    Operation::Range(RangeRequest { revision, ..range(key, end) })
}

/// Two puts, if a key was changed at this revision last; else nothing.
pub(crate) fn swap(key: &str, mod_revision: i64, values: [&str; 2]) -> Operation {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: bytes(key),
        target_union: Some(TargetUnion::ModRevision(mod_revision)),
        ..Compare::default()
    };
    let other = format!("{key}-too");
    let ops = [put_request(key, values[0]), put_request(&other, values[1])];
    let success = ops.into_iter().map(|put| RequestOp { request: Some(Request::RequestPut(put)) }).collect();
    let failure = vec![RequestOp { request: Some(Request::RequestRange(range(key, ""))) }];
    Operation::Txn(TxnRequest { compare: vec![compare], success, failure })
}

pub(crate) fn compact(revision: i64) -> Operation {
    Operation::Compact(CompactionRequest { revision, physical: false })
}

pub(crate) fn grant(id: i64, ttl: i64) -> Operation {
    Operation::LeaseGrant(LeaseGrantRequest { id, ttl })
}

pub(crate) fn revoke(id: i64) -> Operation {
    Operation::LeaseRevoke(LeaseRevokeRequest { id })
}

pub(crate) fn renew(id: i64) -> Operation {
    Operation::LeaseKeepAlive(LeaseKeepAliveRequest { id })
}

pub(crate) fn time_to_live(id: i64) -> Operation {
    Operation::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true })
}

pub(crate) fn leases() -> Operation {
    Operation::LeaseLeases(LeaseLeasesRequest {})
}

pub(crate) fn watch(key: &str, end: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: bytes(key), range_end: bytes(end), start_revision, ..WatchCreateRequest::default() }
}

/// All keys and what was before.
pub(crate) fn watch_everything(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { prev_kv: true, ..watch("\0", "\0", start_revision) }
}
