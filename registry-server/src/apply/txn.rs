//! Transactions: compare, check, then execute. etcd's order: all comparisons, nested ones included, see the
//! state before the transaction; everything that could fail is checked before the first change.

use std::cmp::Ordering;

use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{
    Compare, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};

use super::kv::{check_put, delete_range, put, range_query, range_response};
use super::reply::{ApplyError, inner_header};
use crate::lease::Leases;
use crate::mvcc::{MvccError, Record, Store, WriteTxn};
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// Which branch was taken, here and in the nested transactions of that branch, in their order.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

/// What executes the operations of the chosen branches.
trait Operations {
    fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse, MvccError>;
    fn write(&mut self, request: &Request) -> Option<Response>;
    fn revision(&self) -> Revision;
}

/// Nothing but ranges in both branches: such a transaction needs no entry in the log.
#[must_use]
pub fn is_read_only(txn: &TxnRequest) -> bool {
    all_ranges(txn, |_| true)
}

/// Nothing but serializable ranges: it needs no confirmation of leadership either.
#[must_use]
pub fn is_serializable(txn: &TxnRequest) -> bool {
    all_ranges(txn, |range| range.serializable)
}

fn all_ranges(txn: &TxnRequest, accept: impl Fn(&RangeRequest) -> bool) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
        Some(Request::RequestRange(range)) => accept(range),
        _ => false,
    })
}

/// Executes a transaction of nothing but ranges.
///
/// # Errors
/// A range at a revision that cannot be read.
pub fn read_only_txn(request: &TxnRequest, store: &Store) -> Result<TxnResponse, MvccError> {
    struct Reading<'a>(&'a Store);

    impl Operations for Reading<'_> {
        fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse, MvccError> {
            self.0.range(&range_query(request)).map(range_response)
        }

        fn write(&mut self, _request: &Request) -> Option<Response> {
            None
        }

        fn revision(&self) -> Revision {
            self.0.revision()
        }
    }

    let path = path(request, store);
    for op in branch(request, &path) {
        if let Some(Request::RequestRange(range)) = &op.request {
            check_range(range, store)?;
        }
    }
    execute(request, &path, &mut Reading(store))
}

/// Executes a transaction; nothing is changed if it is refused.
pub(super) fn write_txn(
    request: &TxnRequest,
    store: &mut Store,
    leases: &mut Leases,
) -> Result<(TxnResponse, crate::mvcc::Committed), ApplyError> {
    struct Writing<'a, 'b> {
        txn: &'a mut WriteTxn<'b>,
        leases: &'a mut Leases,
    }

    impl Operations for Writing<'_, '_> {
        fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse, MvccError> {
            self.txn.range(&range_query(request)).map(range_response)
        }

        fn write(&mut self, request: &Request) -> Option<Response> {
            match request {
                Request::RequestPut(request) => Some(Response::ResponsePut(put(request, self.txn, self.leases))),
                Request::RequestDeleteRange(request) => {
                    Some(Response::ResponseDeleteRange(delete_range(request, self.txn, self.leases)))
                }
                Request::RequestRange(_) | Request::RequestTxn(_) => None,
            }
        }

        fn revision(&self) -> Revision {
            self.txn.revision()
        }
    }

    let path = path(request, store);
    if let Err(refusal) = check(request, &path, store, leases) {
        if planted(Bug::RefusedTxnPuts) {
            let mut txn = store.write();
            let first = branch(request, &path).iter().find_map(|op| op.request.as_ref());
            drop(first.and_then(|first| Writing { txn: &mut txn, leases }.write(first)));
            txn.end();
        }
        return Err(refusal);
    }
    let mut txn = store.write();
    let response = execute(request, &path, &mut Writing { txn: &mut txn, leases });
    let committed = txn.end();
    let mut response = response.expect("ranges were checked before the first change");
    response.header = inner_header(committed.revision);
    Ok((response, committed))
}

fn branch<'a>(txn: &'a TxnRequest, path: &Path) -> &'a [RequestOp] {
    if path.succeeded { &txn.success } else { &txn.failure }
}

fn path(txn: &TxnRequest, store: &Store) -> Path {
    let mut path = Path { succeeded: txn.compare.iter().all(|compare| holds(compare, store)), nested: Vec::new() };
    path.nested = branch(txn, &path)
        .iter()
        .filter_map(|op| match &op.request {
            Some(Request::RequestTxn(nested)) => Some(self::path(nested, store)),
            _ => None,
        })
        .collect();
    path
}

fn check(txn: &TxnRequest, path: &Path, store: &Store, leases: &Leases) -> Result<(), ApplyError> {
    let mut nested = path.nested.iter();
    for op in branch(txn, path) {
        match &op.request {
            Some(Request::RequestRange(range)) => check_range(range, store)?,
            Some(Request::RequestPut(put)) => check_put(put, leases, |key| store.get(key))?,
            Some(Request::RequestTxn(inner)) => {
                let path = nested.next().expect("the path has one part for each nested transaction");
                check(inner, path, store, leases)?;
            }
            Some(Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

fn check_range(range: &RangeRequest, store: &Store) -> Result<(), MvccError> {
    if range.revision > store.revision().0 {
        return Err(MvccError::FutureRevision);
    }
    if range.revision != 0 && range.revision < store.compacted().0 {
        return Err(MvccError::Compacted);
    }
    Ok(())
}

fn execute(txn: &TxnRequest, path: &Path, operations: &mut impl Operations) -> Result<TxnResponse, MvccError> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::with_capacity(branch(txn, path).len());
    for op in branch(txn, path) {
        let response = match &op.request {
            Some(Request::RequestRange(range)) => Some(Response::ResponseRange(operations.range(range)?)),
            Some(Request::RequestTxn(inner)) => {
                let path = nested.next().expect("the path has one part for each nested transaction");
                let response = execute(inner, path, operations)?;
                // etcd leaves the header of a nested answer empty.
                Some(Response::ResponseTxn(TxnResponse { header: Some(ResponseHeader::default()), ..response }))
            }
            Some(write) => operations.write(write),
            None => None,
        };
        responses.push(ResponseOp { response });
    }
    Ok(TxnResponse { header: inner_header(operations.revision()), succeeded: path.succeeded, responses })
}

/// Whether a comparison holds for every key of its range. A range without keys compares like one missing
/// key, whose numbers are all 0; a missing value equals nothing.
fn holds(compare: &Compare, store: &Store) -> bool {
    if compare.range_end.is_empty() {
        return match store.get(&compare.key) {
            Some(record) => compare_record(compare, &record),
            None => compare_missing(compare),
        };
    }
    let mut found = false;
    let all = store.live(&compare.key, &compare.range_end).all(|record| {
        found = true;
        compare_record(compare, &record)
    });
    if found { all } else { compare_missing(compare) }
}

fn compare_missing(compare: &Compare) -> bool {
    let missing = Record {
        key: &[],
        create_revision: Revision(0),
        mod_revision: Revision(0),
        version: 0,
        value: &[],
        lease: crate::types::LeaseId(0),
    };
    compare.target() != CompareTarget::Value && compare_record(compare, &missing)
}

fn compare_record(compare: &Compare, record: &Record<'_>) -> bool {
    let union = compare.target_union.as_ref();
    let number = |pick: fn(&TargetUnion) -> Option<i64>| union.and_then(pick).unwrap_or(0);
    let Ok(target) = CompareTarget::try_from(compare.target) else { return compare_ordering(compare, Ordering::Equal) };
    let ordering = match target {
        CompareTarget::Version => record.version.cmp(&number(|union| match union {
            TargetUnion::Version(version) => Some(*version),
            _ => None,
        })),
        CompareTarget::Create => record.create_revision.0.cmp(&number(|union| match union {
            TargetUnion::CreateRevision(revision) => Some(*revision),
            _ => None,
        })),
        CompareTarget::Mod => record.mod_revision.0.cmp(&number(|union| match union {
            TargetUnion::ModRevision(revision) => Some(*revision),
            _ => None,
        })),
        CompareTarget::Lease => record.lease.0.cmp(&number(|union| match union {
            TargetUnion::Lease(lease) => Some(*lease),
            _ => None,
        })),
        CompareTarget::Value => match union {
            Some(TargetUnion::Value(value)) => record.value.cmp(value),
            _ => record.value.cmp(&[]),
        },
    };
    compare_ordering(compare, ordering)
}

/// As in etcd, a relation that this version does not know holds, and an unknown target compares as equal.
fn compare_ordering(compare: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
