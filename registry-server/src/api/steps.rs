//! The spans of what a call does, within the call's own, with etcd's names and attributes: made of requests that are sampled,
//! and of none else.

use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest,
};
use tonic::Request;

use crate::apply::is_read_only;
use crate::traces::{Attribute, Parent, Step, text};

/// What a step tells of its request.
pub(super) trait Stepped {
    /// The name of the step.
    const NAME: &'static str;

    /// What is told of it: keys and numbers, no values.
    fn attributes(&self) -> Vec<Attribute>;
}

/// The step that a request asks for; none if it is not sampled.
pub(super) fn step<T: Stepped>(request: &Request<T>) -> Option<Step> {
    step_named(T::NAME, request)
}

/// The same by another name.
pub(super) fn step_named<T: Stepped>(name: &'static str, request: &Request<T>) -> Option<Step> {
    let above = Parent::of(request.extensions())?;
    Some(above.step(name, request.get_ref().attributes()))
}

impl Stepped for RangeRequest {
    const NAME: &'static str = "range";

    fn attributes(&self) -> Vec<Attribute> {
        vec![
            text("range_begin", &self.key),
            text("range_end", &self.range_end),
            Attribute::new("rev", self.revision),
            Attribute::new("limit", self.limit),
            Attribute::new("count_only", self.count_only),
            Attribute::new("keys_only", self.keys_only),
        ]
    }
}

impl Stepped for PutRequest {
    const NAME: &'static str = "put";

    fn attributes(&self) -> Vec<Attribute> {
        vec![text("key", &self.key)]
    }
}

impl Stepped for DeleteRangeRequest {
    const NAME: &'static str = "delete_range";

    fn attributes(&self) -> Vec<Attribute> {
        vec![text("range_begin", &self.key), text("range_end", &self.range_end)]
    }
}

impl Stepped for TxnRequest {
    const NAME: &'static str = "txn";

    fn attributes(&self) -> Vec<Attribute> {
        let compared = self.compare.iter().find_map(|compare| some(&compare.key)).unwrap_or_default();
        let (key, kind, lease) = first(&self.success);
        let count = |list: usize| i64::try_from(list).unwrap_or(i64::MAX);
        vec![
            text("compare_first_key", compared),
            text("success_first_key", key),
            Attribute::new("success_first_type", kind),
            Attribute::new("success_first_lease", lease),
            Attribute::new("compare_len", count(self.compare.len())),
            Attribute::new("success_len", count(self.success.len())),
            Attribute::new("failure_len", count(self.failure.len())),
            Attribute::new("read_only", is_read_only(self)),
        ]
    }
}

impl Stepped for CompactionRequest {
    const NAME: &'static str = "compact";

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("is_physical", self.physical), Attribute::new("rev", self.revision)]
    }
}

impl Stepped for LeaseGrantRequest {
    const NAME: &'static str = "lease_grant";

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("id", self.id), Attribute::new("ttl", self.ttl)]
    }
}

impl Stepped for LeaseRevokeRequest {
    const NAME: &'static str = "lease_revoke";

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("id", self.id)]
    }
}

/// The first key that an operation names, the kind of the first operation, and the lease of the first put, or -1.
fn first(operations: &[RequestOp]) -> (&[u8], &'static str, i64) {
    let mut kinds = operations.iter().filter_map(|operation| operation.request.as_ref());
    let kind = kinds.clone().next().map_or("", |operation| match operation {
        Operation::RequestRange(_) => "range",
        Operation::RequestPut(_) => "put",
        Operation::RequestDeleteRange(_) => "delete_range",
        Operation::RequestTxn(_) => "txn",
    });
    let key = kinds.clone().find_map(|operation| match operation {
        Operation::RequestRange(it) => some(&it.key),
        Operation::RequestPut(it) => some(&it.key),
        Operation::RequestDeleteRange(it) => some(&it.key),
        Operation::RequestTxn(_) => None,
    });
    let lease = kinds.find_map(|operation| match operation {
        Operation::RequestPut(it) => Some(it.lease),
        _ => None,
    });
    (key.unwrap_or_default(), kind, lease.unwrap_or(-1))
}

fn some(key: &[u8]) -> Option<&[u8]> {
    (!key.is_empty()).then_some(key)
}
