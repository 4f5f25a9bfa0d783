//! The generator: the same seed gives the same steps, and every kind of step comes.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{RequestOp, TxnRequest};

use super::*;

fn steps(seed: u64, client: u32, count: usize) -> Vec<Step> {
    let settings = Arc::new(Settings { seed, ..Settings::default() });
    let mut generator = Generator::new(client, settings);
    let known = Known { revision: 100, ..Known::default() };
    (0..count).map(|_| generator.next(&known, 90)).collect()
}

fn values_of_txn(txn: &TxnRequest) -> Vec<Bytes> {
    txn.success.iter().chain(&txn.failure).flat_map(values_of_op).collect()
}

fn values_of_op(op: &RequestOp) -> Vec<Bytes> {
    match &op.request {
        Some(Request::RequestPut(put)) => vec![put.value.clone()],
        Some(Request::RequestTxn(txn)) => values_of_txn(txn),
        _ => Vec::new(),
    }
}

#[test]
fn the_same_seed_and_answers_give_the_same_steps() {
    assert_eq!(steps(7, 1, 500), steps(7, 1, 500));
    assert_ne!(steps(7, 1, 50), steps(8, 1, 50));
    assert_ne!(steps(7, 1, 50), steps(7, 2, 50));
}

#[test]
fn every_kind_comes() {
    let mut kinds = BTreeMap::new();
    for step in steps(1, 0, 2_000) {
        let kind = match step {
            Step::Call(operation) => operation.kind(),
            Step::Count => "Count",
            Step::Members => "Members",
            Step::Hash(_) => "Hash",
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

#[test]
fn every_form_of_a_request_comes() {
    let mut forms = BTreeSet::new();
    for step in steps(2, 0, 4_000) {
        let Step::Call(operation) = step else { continue };
        match operation {
            Operation::Put(put) => forms.extend([
                ("put prev_kv", put.prev_kv),
                ("put ignore_value", put.ignore_value),
                ("put ignore_lease", put.ignore_lease),
                ("put lease", put.lease != 0),
            ]),
            Operation::Range(range) => forms.extend([
                ("range serializable", range.serializable),
                ("range at a revision", range.revision > 0),
                ("range limit", range.limit > 0),
                ("range sort", range.sort_target > 0),
                ("range count_only", range.count_only),
                ("range keys_only", range.keys_only),
                ("range filter", range.min_mod_revision > 0),
                ("range everything", range.key == b"\0"[..]),
            ]),
            Operation::DeleteRange(delete) => {
                forms.extend([("delete range", !delete.range_end.is_empty()), ("delete prev_kv", delete.prev_kv)]);
            }
            Operation::Txn(txn) => {
                let nests = |op: &RequestOp| matches!(op.request, Some(Request::RequestTxn(_)));
                forms.extend([
                    ("txn compares", !txn.compare.is_empty()),
                    ("txn nests", txn.success.iter().any(nests)),
                    ("txn fails over", !txn.failure.is_empty()),
                ]);
            }
            _ => {}
        }
    }
    forms.retain(|(_, there)| *there);
    assert_eq!(forms.len(), 17, "{forms:?}");
}

#[test]
fn no_value_is_put_twice() {
    let mut seen = BTreeSet::new();
    for client in 0..3 {
        for step in steps(3, client, 1_000) {
            let values = match step {
                Step::Call(Operation::Put(put)) if !put.ignore_value => vec![put.value],
                Step::Call(Operation::Txn(txn)) => values_of_txn(&txn),
                _ => Vec::new(),
            };
            for value in values {
                assert!(seen.insert(value.clone()), "{value:?} came twice");
            }
        }
    }
    assert!(seen.len() > 1_000);
}

#[test]
fn nothing_is_compacted_that_was_not_confirmed() {
    for step in steps(4, 0, 5_000) {
        if let Step::Call(Operation::Compact(request)) = step {
            assert!((1..=90).contains(&request.revision), "{request:?}");
        }
    }
}

#[test]
fn nothing_outside_of_the_prefix_is_deleted() {
    for step in steps(5, 0, 5_000) {
        if let Step::Call(Operation::DeleteRange(request)) = step {
            assert!(request.key.starts_with(b"k/") && request.range_end <= PREFIX_END, "{request:?}");
        }
    }
}
