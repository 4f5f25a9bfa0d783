//! What an operation may do and what an answer says was done, whatever the nesting of transactions.

use bytes::Bytes;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest, TxnResponse};

use crate::model::{Answer, Operation};

/// A part of an operation that touches keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    Delete(&'a DeleteRangeRequest),
}

/// All parts that an operation has, on whatever branch.
pub(crate) fn parts(operation: &Operation) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    match operation {
        Operation::Range(range) => parts.push(Part::Range(range)),
        Operation::Put(put) => parts.push(Part::Put(put)),
        Operation::DeleteRange(delete) => parts.push(Part::Delete(delete)),
        Operation::Txn(txn) => parts_of(txn, &mut parts),
        _ => {}
    }
    parts
}

fn parts_of<'a>(txn: &'a TxnRequest, parts: &mut Vec<Part<'a>>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Request::RequestRange(range)) => parts.push(Part::Range(range)),
            Some(Request::RequestPut(put)) => parts.push(Part::Put(put)),
            Some(Request::RequestDeleteRange(delete)) => parts.push(Part::Delete(delete)),
            Some(Request::RequestTxn(nested)) => parts_of(nested, parts),
            None => {}
        }
    }
}

/// The keys and values that an operation may put; a put that keeps the value has none of its own.
pub(crate) fn values(operation: &Operation) -> impl Iterator<Item = (Bytes, Bytes)> {
    parts(operation).into_iter().filter_map(|part| match part {
        Part::Put(put) if !put.ignore_value => Some((put.key.clone(), put.value.clone())),
        _ => None,
    })
}

/// Whether it may put a key with whatever value it has.
pub(crate) fn keeps_a_value(operation: &Operation) -> bool {
    parts(operation).iter().any(|part| matches!(part, Part::Put(put) if put.ignore_value))
}

/// Whether it may delete something.
pub(crate) fn deletes(operation: &Operation) -> bool {
    parts(operation).iter().any(|part| matches!(part, Part::Delete(_)))
}

/// Whether its answer must tell of all that was answered before it was asked. A transaction of nothing but
/// serializable reads is one itself. TimeToLive, Leases and KeepAlive are judged as leases are, by time.
pub(crate) fn is_linearizable(operation: &Operation) -> bool {
    match operation {
        Operation::Range(range) => !range.serializable,
        Operation::Txn(_) => parts(operation).iter().any(|part| match part {
            Part::Range(range) => !range.serializable,
            Part::Put(_) | Part::Delete(_) => true,
        }),
        Operation::LeaseTimeToLive(_) | Operation::LeaseLeases(_) | Operation::LeaseKeepAlive(_) => false,
        _ => true,
    }
}

/// Whether an answer says that keys were changed. That of a revoke does not tell.
pub(crate) fn changed(answer: &Answer) -> bool {
    match answer {
        Answer::Put(_) => true,
        Answer::DeleteRange(answer) => answer.deleted > 0,
        Answer::Txn(answer) => txn_changed(answer),
        _ => false,
    }
}

fn txn_changed(answer: &TxnResponse) -> bool {
    answer.responses.iter().any(|op| match &op.response {
        Some(Response::ResponsePut(_)) => true,
        Some(Response::ResponseDeleteRange(answer)) => answer.deleted > 0,
        Some(Response::ResponseTxn(nested)) => txn_changed(nested),
        _ => false,
    })
}
