//! Random operations and a model of the whole state machine (`registry_tests::model`) agree: in a node without
//! a network, in a real process, in etcd itself, and across crashes.
//!
//! `REGISTRY_MODEL_OPERATIONS` sets how many operations each test does, `REGISTRY_MODEL_SEED` repeats a run.

mod crashes;
mod in_process;
mod in_process_node;
mod wire;

use std::collections::BTreeMap;

use registry_tests::model::Run;

const NODE: &str = env!("CARGO_BIN_EXE_node");

/// Runs of fewer operations may miss what is rare.
const ENOUGH: usize = 100_000;

/// Every refusal that operations can meet.
const REFUSALS: [&str; 11] = [
    "duplicate key given in txn request",
    "key is not provided",
    "key not found",
    "lease already exists",
    "lease is provided",
    "mvcc: required revision has been compacted",
    "mvcc: required revision is a future revision",
    "requested lease not found",
    "too large lease TTL",
    "too many operations in txn request",
    "value is provided",
];

/// Prints what a run was made of, and makes sure that it was not made of nothing.
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn tell(run: &Run) {
    let mut kinds = BTreeMap::new();
    let mut refusals = BTreeMap::new();
    for ((kind, refusal), count) in run.outcomes() {
        let (done, refused) = kinds.entry(*kind).or_insert((0, 0));
        match refusal {
            None => *done += count,
            Some(text) => {
                *refused += count;
                *refusals.entry(text.as_ref()).or_insert(0) += count;
            }
        }
    }
    println!("{} operations agreed: {}", run.done(), run.settings());
    println!("done and refused: {kinds:?}\nrefusals: {refusals:?}");
    if run.done() >= ENOUGH {
        let missing = REFUSALS.iter().find(|text| !refusals.contains_key(format!("etcdserver: {text}").as_str()));
        assert_eq!(missing, None, "it was never met");
        assert!(kinds.len() == 10 && kinds.values().all(|(done, _)| *done > 0), "{kinds:?}");
    }
}
