//! Short work of requests.

use bytes::Bytes;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};

/// Where the range of all keys with a prefix ends.
#[must_use]
pub fn prefix_end(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// One key.
#[must_use]
pub fn key(key: &str) -> RangeRequest {
    RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() }
}

/// All keys with a prefix.
#[must_use]
pub fn prefix(prefix: &str) -> RangeRequest {
    RangeRequest { range_end: prefix_end(prefix), ..key(prefix) }
}

/// All keys.
#[must_use]
pub fn everything() -> RangeRequest {
    RangeRequest { range_end: Bytes::from_static(b"\0"), ..key("\0") }
}

/// A put without options.
#[must_use]
pub fn put(key: &str, value: impl Into<Bytes>) -> PutRequest {
    PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into(), ..PutRequest::default() }
}

/// A put under a lease.
#[must_use]
pub fn leased(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest { lease, ..put(key, value.to_owned()) }
}

/// The delete of one key.
#[must_use]
pub fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..DeleteRangeRequest::default() }
}

/// The delete of all keys with a prefix.
#[must_use]
pub fn delete_prefix(prefix: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { range_end: prefix_end(prefix), ..delete(prefix) }
}

/// A transaction without a comparison.
#[must_use]
pub fn txn(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

/// A comparison; `target` says what is compared with what.
#[must_use]
pub fn compare(key: &str, result: CompareResult, target: TargetUnion) -> Compare {
    let kind = match target {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        key: Bytes::copy_from_slice(key.as_bytes()),
        result: result.into(),
        target: kind.into(),
        target_union: Some(target),
        range_end: Bytes::new(),
    }
}

/// A watcher of one key.
#[must_use]
pub fn watch(key: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..WatchCreateRequest::default() }
}

/// A watcher of all keys with a prefix.
#[must_use]
pub fn watch_prefix(prefix: &str) -> WatchCreateRequest {
    WatchCreateRequest { range_end: prefix_end(prefix), ..watch(prefix) }
}

/// What can stand in a transaction.
pub trait Operation {
    /// As an operation of a transaction.
    fn op(self) -> RequestOp;
}

macro_rules! operations {
    ($($request:ty => $variant:ident),+) => {
        $(impl Operation for $request {
            fn op(self) -> RequestOp {
                RequestOp { request: Some(Request::$variant(self)) }
            }
        })+
    };
}

operations! {
    RangeRequest => RequestRange,
    PutRequest => RequestPut,
    DeleteRangeRequest => RequestDeleteRange,
    TxnRequest => RequestTxn
}
