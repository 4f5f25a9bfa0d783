//! Each rule, and the order in which they are told.

use super::*;

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put_op(key: &'static str) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.into(), ..PutRequest::default() }))
}

fn delete_op(key: &'static str, range_end: &'static str) -> RequestOp {
    let request = DeleteRangeRequest { key: key.into(), range_end: range_end.into(), ..DeleteRangeRequest::default() };
    op(Request::RequestDeleteRange(request))
}

fn get_op(key: &'static str) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: key.into(), ..RangeRequest::default() }))
}

fn branches(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, failure, ..TxnRequest::default() }
}

fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(branches(success, failure)))
}

/// The answer to these operations, in either branch.
fn check(ops: Vec<RequestOp>) -> Result<(), WireError> {
    let answer = txn(&branches(ops.clone(), vec![]), 128);
    assert_eq!(answer, txn(&branches(vec![], ops), 128), "the branches differ");
    answer
}

const DUPLICATE: Result<(), WireError> = Err(WireError::DuplicateKey);

#[test]
fn a_range_needs_a_key_and_known_sort_options() {
    let good = RangeRequest { key: "a".into(), ..RangeRequest::default() };
    assert_eq!(range(&good), Ok(()));
    assert_eq!(range(&RangeRequest::default()), Err(WireError::EmptyKey));
    for (sort_order, sort_target) in [(3, 0), (-1, 0), (0, 5), (0, i32::MIN)] {
        let bad = RangeRequest { sort_order, sort_target, ..good.clone() };
        assert_eq!(range(&bad), Err(WireError::InvalidSortOption));
    }
}

#[test]
fn a_streamed_range_has_no_order_and_no_filters() {
    let good = RangeRequest { key: "a".into(), ..RangeRequest::default() };
    let code = |request: &RangeRequest| range_stream(request).map_err(|status| status.code());
    assert_eq!(code(&good), Ok(()));
    let by_key = RangeRequest { sort_order: SortOrder::Ascend.into(), ..good.clone() };
    assert_eq!(code(&by_key), Ok(()));
    let by_version = RangeRequest { sort_target: SortTarget::Version.into(), ..by_key };
    assert_eq!(code(&by_version), Err(tonic::Code::Unimplemented));
    let filtered = RangeRequest { max_create_revision: 1, ..good };
    assert_eq!(code(&filtered), Err(tonic::Code::Unimplemented));
    assert_eq!(code(&RangeRequest::default()), Err(tonic::Code::InvalidArgument));
}

#[test]
fn a_put_cannot_give_and_keep_at_once() {
    let good = PutRequest { key: "a".into(), value: "v".into(), lease: 7, ..PutRequest::default() };
    assert_eq!(put(&good), Ok(()));
    assert_eq!(put(&PutRequest::default()), Err(WireError::EmptyKey));
    let keeps_value = PutRequest { ignore_value: true, ..good.clone() };
    assert_eq!(put(&keeps_value), Err(WireError::ValueProvided));
    let keeps_lease = PutRequest { ignore_lease: true, ..good };
    assert_eq!(put(&keeps_lease), Err(WireError::LeaseProvided));
    let keeps_both = PutRequest { key: "a".into(), ignore_value: true, ignore_lease: true, ..PutRequest::default() };
    assert_eq!(put(&keeps_both), Ok(()));
}

#[test]
fn a_delete_needs_a_key() {
    assert_eq!(delete_range(&DeleteRangeRequest::default()), Err(WireError::EmptyKey));
}

#[test]
fn a_request_must_fit() {
    let request = PutRequest { key: "a".into(), value: vec![0; 100].into(), ..PutRequest::default() };
    let len = request.encoded_len();
    assert_eq!(size(&request, len), Ok(()));
    assert_eq!(size(&request, len - 1), Err(WireError::RequestTooLarge));
}

#[test]
fn a_level_counts_as_its_largest_list() {
    let gets = |count| vec![get_op("a"); count];
    assert_eq!(txn(&branches(gets(3), gets(3)), 3), Ok(()));
    assert_eq!(txn(&branches(gets(4), gets(3)), 3), Err(WireError::TooManyOps));
    assert_eq!(txn(&branches(gets(3), gets(4)), 3), Err(WireError::TooManyOps));
    let compare = registry_proto::etcdserverpb::Compare { key: "a".into(), ..Default::default() };
    let compares = TxnRequest { compare: vec![compare; 4], ..TxnRequest::default() };
    assert_eq!(txn(&compares, 3), Err(WireError::TooManyOps));
    assert_eq!(txn(&compares, 4), Ok(()));
}

#[test]
fn a_nested_transaction_gets_what_its_parent_left() {
    let nested = |inner: usize| branches(vec![txn_op(vec![get_op("a"); inner], vec![])], vec![]);
    assert_eq!(txn(&nested(2), 3), Ok(()));
    assert_eq!(txn(&nested(3), 3), Err(WireError::TooManyOps));
}

#[test]
fn a_compare_needs_a_key_but_no_target() {
    let compare = |key: &'static str| registry_proto::etcdserverpb::Compare { key: key.into(), ..Default::default() };
    let with = |key| TxnRequest { compare: vec![compare(key)], ..TxnRequest::default() };
    assert_eq!(txn(&with("a"), 128), Ok(()));
    assert_eq!(txn(&with(""), 128), Err(WireError::EmptyKey));
}

#[test]
fn an_operation_that_is_none_is_refused() {
    assert_eq!(check(vec![RequestOp::default()]), Err(WireError::KeyNotFound));
    assert_eq!(check(vec![txn_op(vec![], vec![RequestOp::default()])]), Err(WireError::KeyNotFound));
}

#[test]
fn the_operations_of_a_transaction_are_checked_at_every_level() {
    assert_eq!(check(vec![put_op("")]), Err(WireError::EmptyKey));
    assert_eq!(check(vec![txn_op(vec![delete_op("", "")], vec![])]), Err(WireError::EmptyKey));
    assert_eq!(check(vec![txn_op(vec![], vec![txn_op(vec![get_op("")], vec![])])]), Err(WireError::EmptyKey));
}

#[test]
fn a_key_is_put_once() {
    assert_eq!(check(vec![put_op("a"), put_op("b")]), Ok(()));
    assert_eq!(check(vec![put_op("a"), put_op("a")]), DUPLICATE);
    assert_eq!(check(vec![put_op("a"), txn_op(vec![put_op("a")], vec![])]), DUPLICATE);
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])]), DUPLICATE);
}

#[test]
fn a_key_is_not_both_put_and_deleted() {
    assert_eq!(check(vec![put_op("a"), delete_op("a", "")]), DUPLICATE);
    assert_eq!(check(vec![delete_op("a", "c"), put_op("b")]), DUPLICATE);
    assert_eq!(check(vec![delete_op("a", "c"), put_op("c")]), Ok(()));
    assert_eq!(check(vec![delete_op("a", "c"), txn_op(vec![], vec![put_op("b")])]), DUPLICATE);
    assert_eq!(check(vec![txn_op(vec![delete_op("a", "c")], vec![]), put_op("b")]), DUPLICATE);
    assert_eq!(check(vec![txn_op(vec![txn_op(vec![], vec![delete_op("a", "c")])], vec![]), put_op("b")]), DUPLICATE);
}

#[test]
fn keys_may_be_read_and_deleted_again_and_again() {
    assert_eq!(check(vec![get_op("a"), put_op("a"), get_op("a")]), Ok(()));
    assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "d"), delete_op("b", "")]), Ok(()));
}

#[test]
fn branches_that_exclude_each_other_may_put_the_same_key() {
    assert_eq!(txn(&branches(vec![put_op("a")], vec![put_op("a")]), 128), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![delete_op("a", "")])]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a")]), put_op("a")]), DUPLICATE);
}

#[test]
fn etcds_gaps_in_the_rule_are_kept() {
    // The rest of the keys, by etcd's check an empty range.
    assert_eq!(check(vec![delete_op("a", "\0"), put_op("b")]), Ok(()));
    // Siblings are compared in one direction only.
    let (puts, deletes) = (txn_op(vec![put_op("a")], vec![]), txn_op(vec![delete_op("a", "")], vec![]));
    assert_eq!(check(vec![puts.clone(), deletes.clone()]), Ok(()));
    assert_eq!(check(vec![deletes, puts]), DUPLICATE);
}

#[test]
fn too_many_operations_are_told_before_a_duplicate() {
    assert_eq!(txn(&branches(vec![put_op("a"); 4], vec![]), 3), Err(WireError::TooManyOps));
}

#[test]
fn a_wide_transaction_under_many_levels_is_checked_soon() {
    let leaf = |number: usize| {
        let key = number.to_be_bytes().to_vec().into();
        op(Request::RequestPut(PutRequest { key, ..PutRequest::default() }))
    };
    // 40 levels over 20,000 puts, each level with a delete of its own. Copying every level into the next
    // one takes 800,000 steps and more; a debug build would need seconds.
    let mut ops: Vec<_> = (0..20_000).map(leaf).collect();
    for _ in 0..40 {
        ops = vec![txn_op(ops, vec![]), delete_op("z", "")];
    }
    let started = tokio::time::Instant::now();
    assert_eq!(overlap::check(&ops), Ok(()));
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "took {:?}", started.elapsed());
}
