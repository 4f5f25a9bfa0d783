//! What a request may hold, whatever the state is. Written the long way round: every pair is looked at.

use bytes::Bytes;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::dialect::Dialect;
use super::operation::Operation;
use super::refusal::{
    DUPLICATE_KEY, EMPTY_KEY, INVALID_SORT, KEY_NOT_FOUND, LEASE_PROVIDED, Refusal, TOO_MANY_OPS, VALUE_PROVIDED,
};

/// Operations of one level of a transaction, by default.
pub const MAX_TXN_OPS: usize = 128;

pub(super) fn operation(operation: &Operation, dialect: Dialect) -> Result<(), Refusal> {
    match operation {
        Operation::Range(request) => range(request, dialect),
        Operation::Put(request) => put(request),
        Operation::DeleteRange(request) => key(&request.key),
        Operation::Txn(request) => {
            txn(request, MAX_TXN_OPS, dialect)?;
            written(&request.success)?;
            written(&request.failure).map(drop)
        }
        _ => Ok(()),
    }
}

fn key(key: &Bytes) -> Result<(), Refusal> {
    if key.is_empty() { Err(EMPTY_KEY) } else { Ok(()) }
}

fn range(request: &RangeRequest, dialect: Dialect) -> Result<(), Refusal> {
    key(&request.key)?;
    let is_known = SortOrder::try_from(request.sort_order).is_ok() && SortTarget::try_from(request.sort_target).is_ok();
    if !is_known && dialect.refuses_unknown_sorts() { Err(INVALID_SORT) } else { Ok(()) }
}

fn put(request: &PutRequest) -> Result<(), Refusal> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(LEASE_PROVIDED);
    }
    Ok(())
}

fn txn(request: &TxnRequest, max_ops: usize, dialect: Dialect) -> Result<(), Refusal> {
    let ops = [request.compare.len(), request.success.len(), request.failure.len()].into_iter().max().unwrap_or(0);
    if ops > max_ops {
        return Err(TOO_MANY_OPS);
    }
    for compare in &request.compare {
        key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request, dialect)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => key(&request.key)?,
            Some(Request::RequestTxn(request)) => txn(request, max_ops - ops, dialect)?,
            None => return Err(KEY_NOT_FOUND),
        }
    }
    Ok(())
}

/// What a list of operations may write: keys that are put, and ranges that are deleted.
#[derive(Default)]
struct Written {
    puts: Vec<Bytes>,
    deletes: Vec<(Bytes, Bytes)>,
}

impl Written {
    /// A range that ends at `\0`, which means "from this key on", counts as empty here: nothing is below it.
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletes.iter().any(|(start, end)| if end.is_empty() { key == start } else { key >= start && key < end })
    }

    fn refuses(&self, key: &Bytes) -> bool {
        self.puts.contains(key) || self.deletes(key)
    }
}

/// The order is etcd's, and with it the gaps: this level's deletes, then what is nested, then this level's
/// puts; each put is compared with what is there by then. The two branches of a nested transaction are not
/// compared with each other.
fn written(ops: &[RequestOp]) -> Result<Written, Refusal> {
    let mut written = Written::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            written.deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let branches = [self::written(&nested.success)?, self::written(&nested.failure)?];
            if branches.iter().flat_map(|branch| &branch.puts).any(|key| written.refuses(key)) {
                return Err(DUPLICATE_KEY);
            }
            for branch in branches {
                written.puts.extend(branch.puts);
                written.deletes.extend(branch.deletes);
            }
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            if written.refuses(&put.key) {
                return Err(DUPLICATE_KEY);
            }
            written.puts.push(put.key.clone());
        }
    }
    Ok(written)
}
