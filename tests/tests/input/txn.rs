//! Transactions that make no sense, nested ones among them.

use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use registry_tests::requests::{Operation, compare, delete, delete_prefix, key, leased, put, txn};
use tonic::Code::{Internal, InvalidArgument, NotFound, OutOfRange};

use crate::table::{COMPACTED, NEWEST, Row, holds, row};

const NO_KEY: &str = "key is not provided";
const TOO_MANY: &str = "too many operations in txn request";
const TWICE: &str = "duplicate key given in txn request";
/// Operations that one level may have.
const LIMIT: usize = 128;

fn ask(what: &'static str, request: &TxnRequest) -> Row {
    row(what, "/etcdserverpb.KV/Txn", request)
}

/// The operations fail, wherever they stand: in either branch, and one level down.
fn everywhere(what: &'static str, ops: &[RequestOp], refused: impl Fn(Row) -> Row) -> Vec<Row> {
    let success = txn(ops.to_vec());
    let failure = TxnRequest { failure: ops.to_vec(), ..txn(vec![]) };
    let requests = [
        success.clone(),
        failure.clone(),
        txn(vec![success.op()]),
        TxnRequest { failure: vec![failure.op()], ..txn(vec![]) },
    ];
    requests.iter().map(|request| refused(ask(what, request))).collect()
}

fn operation_rows() -> Vec<Row> {
    let no_key = |row: Row| row.refused(InvalidArgument, NO_KEY);
    let keeps_value = PutRequest { ignore_value: true, ..put("a", "v") };
    let keeps_lease = PutRequest { ignore_lease: true, ..leased("a", "v", 9) };
    let mut rows = Vec::new();
    rows.extend(everywhere("a range without a key", &[key("").op()], no_key));
    rows.extend(everywhere("a put without a key", &[put("", "v").op()], no_key));
    rows.extend(everywhere("a delete without a key", &[delete("").op()], no_key));
    rows.extend(everywhere("a value kept and given", &[keeps_value.op()], |row| {
        row.refused(InvalidArgument, "value is provided")
    }));
    rows.extend(everywhere("a lease kept and given", &[keeps_lease.op()], |row| {
        row.refused(InvalidArgument, "lease is provided")
    }));
    rows.extend(everywhere("an operation of no kind", &[RequestOp::default()], |row| {
        row.refused(InvalidArgument, "key not found")
    }));
    rows
}

/// What only the state can tell; a branch that is not taken is not looked at.
fn state_rows() -> Vec<Row> {
    let at = |revision| RangeRequest { revision, ..key("a") }.op();
    let keeps = PutRequest { ignore_value: true, ..put("none", "") };
    let not_taken = |op: RequestOp| TxnRequest { failure: vec![op], ..txn(vec![]) };
    let compacted = "mvcc: required revision has been compacted";
    let future = "mvcc: required revision is a future revision";
    vec![
        ask("a future range", &txn(vec![at(NEWEST + 1)])).refused(OutOfRange, future),
        ask("a compacted range", &txn(vec![at(COMPACTED - 1)])).refused(OutOfRange, compacted),
        ask("a compacted range, nested", &txn(vec![txn(vec![at(1)]).op()])).refused(OutOfRange, compacted),
        ask("a future range after a put", &txn(vec![put("a", "v").op(), at(99)])).refused(OutOfRange, future),
        ask("a compacted range before a put", &txn(vec![at(1), put("a", "v").op()])).refused(OutOfRange, compacted),
        ask("a negative range", &txn(vec![at(-1)])).refused(OutOfRange, compacted),
        ask("an unknown lease", &txn(vec![leased("a", "v", 404).op()])).refused(NotFound, "requested lease not found"),
        ask("the value of a missing key kept", &txn(vec![keeps.clone().op()]))
            .refused(InvalidArgument, "key not found"),
        ask("a future range that is not taken", &not_taken(at(99))).taken("true"),
        ask("a missing key kept that is not taken", &not_taken(keeps.op())).taken("true"),
        ask("nothing at all", &txn(vec![])).taken("true"),
    ]
}

fn compare_rows() -> Vec<Row> {
    let holds = |compare: Compare| TxnRequest { compare: vec![compare], ..txn(vec![]) };
    let version = |key| compare(key, CompareResult::Equal, TargetUnion::Version(3));
    let value = CompareTarget::Value.into();
    vec![
        ask("a compare without a key", &holds(version(""))).refused(InvalidArgument, NO_KEY),
        ask("the compare that is right", &holds(version("a"))).taken("true"),
        ask("an unknown relation holds", &holds(Compare { result: 9, ..version("b") })).taken("true"),
        ask("a negative relation holds", &holds(Compare { result: -1, ..version("b") })).taken("true"),
        ask("an unknown target is equal", &holds(Compare { target: 9, ..version("b") })).taken("true"),
        ask("an unknown target does not differ", &holds(Compare { target: 9, result: 3, ..version("b") }))
            .taken("false"),
        ask("a target without its number is 0", &holds(Compare { target_union: None, ..version("a") })).taken("false"),
        ask("of a missing key, too", &holds(Compare { target_union: None, ..version("none") })).taken("true"),
        ask("a target with another's number", &holds(Compare { target: value, ..version("a") })).taken("false"),
        ask("an end below the key", &holds(Compare { range_end: "a".into(), ..version("b") })).taken("false"),
        ask("a value of a missing key", &holds(Compare { target: value, ..version("none") })).taken("false"),
    ]
}

fn count_rows() -> Vec<Row> {
    let puts = |count: usize| -> Vec<RequestOp> { (0..count).map(|n| put(&format!("k{n}"), "v").op()).collect() };
    let compares = |count: usize| vec![compare("a", CompareResult::Equal, TargetUnion::Version(0)); count];
    let nest = |inner: TxnRequest| txn(vec![inner.op()]);
    let failing = |failure: Vec<RequestOp>| TxnRequest { failure, ..txn(vec![]) };
    let too_many = |what, request: &TxnRequest| ask(what, request).refused(InvalidArgument, TOO_MANY);
    vec![
        ask("as many as there may be", &txn(puts(LIMIT))).taken("true"),
        too_many("one more", &txn(puts(LIMIT + 1))),
        ask("in the other branch", &failing(puts(LIMIT))).taken("true"),
        too_many("one more there", &failing(puts(LIMIT + 1))),
        ask("as many compares", &TxnRequest { compare: compares(LIMIT), ..txn(vec![]) }).taken("false"),
        too_many("one compare more", &TxnRequest { compare: compares(LIMIT + 1), ..txn(vec![]) }),
        ask("each list for itself", &TxnRequest { failure: puts(LIMIT), ..txn(puts(LIMIT)) }).taken("true"),
        ask("what the parent left", &nest(txn(puts(LIMIT - 1)))).taken("true"),
        too_many("more than the parent left", &nest(txn(puts(LIMIT)))),
        too_many("more than it left to the other branch", &nest(failing(puts(LIMIT)))),
        too_many("more than two levels left", &nest(nest(txn(puts(LIMIT - 1))))),
        too_many("too many, and without keys", &txn(vec![put("", "v").op(); LIMIT + 1])),
        too_many("too many, and the same", &txn(vec![put("a", "v").op(); LIMIT + 1])),
    ]
}

/// Every level is one operation of the one around it, so 128 of them are not too many; but the decoder follows
/// 100 messages into each other and no more, and a level is two.
fn depth_rows() -> Vec<Row> {
    let nested = |depth: usize| (0..depth).fold(txn(vec![put("deep", "v").op()]), |inner, _| txn(vec![inner.op()]));
    vec![
        ask("48 levels", &nested(48)).taken("true"),
        ask("50 levels", &nested(50)).coded(Internal).etcd_is_not_asked("it answers as deep, which we do not read"),
        ask("200 levels", &nested(200)).coded(Internal).etcd_refuses(InvalidArgument, TOO_MANY, "the same"),
    ]
}

fn duplicate_rows() -> Vec<Row> {
    let a = |value: &'static str| put("a", value).op();
    let from_a = DeleteRangeRequest { range_end: "\0".into(), ..delete("a") };
    let below = DeleteRangeRequest { range_end: "a".into(), ..delete("b") };
    let twice = |row: Row| row.refused(InvalidArgument, TWICE);
    let mut rows = Vec::new();
    for (what, ops) in [
        ("two puts", vec![a("1"), a("2")]),
        ("two equal puts", vec![a("1"), a("1")]),
        ("a put and its delete", vec![a("1"), delete("a").op()]),
        ("a delete and then its put", vec![delete("a").op(), a("1")]),
        ("a delete of a range with a put in it", vec![delete_prefix("a").op(), put("a/b", "2").op()]),
        ("a put here and one below", vec![a("1"), txn(vec![a("2")]).op()]),
        ("puts in two nested ones", vec![txn(vec![a("1")]).op(), txn(vec![a("2")]).op()]),
        ("a delete here and a put below", vec![delete("a").op(), txn(vec![a("2")]).op()]),
        ("a put here and a delete below", vec![a("2"), txn(vec![delete("a").op()]).op()]),
    ] {
        rows.extend(everywhere(what, &ops, twice));
    }
    rows.extend([
        ask("one in each branch", &TxnRequest { failure: vec![a("2")], ..txn(vec![a("1")]) }).taken("true"),
        ask("two deletes of a key", &txn(vec![delete("a").op(), delete("a").op()])).taken("true"),
        ask("a delete that ends before it begins", &txn(vec![below.op(), put("b", "1").op()])).taken("true"),
        ask("a delete from a key on passes for an empty one", &txn(vec![from_a.op(), put("c", "1").op()]))
            .taken("true"),
        ask("two reads of a key", &txn(vec![key("a").op(), key("a").op()])).taken("true"),
    ]);
    rows
}

#[tokio::test]
async fn operations_and_compares_get_etcds_answers() {
    let mut rows = operation_rows();
    rows.extend(state_rows());
    rows.extend(compare_rows());
    holds(rows).await;
}

#[tokio::test]
async fn too_many_operations_and_keys_written_twice_are_refused_in_every_branch() {
    let mut rows = count_rows();
    rows.extend(duplicate_rows());
    rows.extend(depth_rows());
    holds(rows).await;
}
