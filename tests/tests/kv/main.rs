//! The KV service through a real client: reads, writes, transactions, compaction and the quota. What is refused
//! stands in the suite `input`.

mod compaction;
mod quota;
mod range;
mod stream;
mod txn;
mod txn_compare;
mod write;

use registry_proto::mvccpb::KeyValue;
use tonic::Code;

/// A refusal as [`registry_tests::refusal`] tells it, with etcd's prefix.
fn etcd_says(code: Code, text: &str) -> (Code, String) {
    (code, format!("etcdserver: {text}"))
}

/// The keys in the order of the answer.
fn keys(kvs: &[KeyValue]) -> Vec<&str> {
    kvs.iter().map(|kv| std::str::from_utf8(&kv.key).expect("keys of tests are text")).collect()
}
