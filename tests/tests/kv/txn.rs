//! Transactions: what they execute, in which order, and at which revision.

use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest, ResponseOp, TxnRequest};
use registry_tests::requests::{Operation, compare, delete, delete_prefix, everything, key, put, txn};
use registry_tests::{EmbeddedNode, refusal};
use tonic::Code;

use super::{etcd_says, keys};

fn kinds(responses: &[ResponseOp]) -> Vec<&'static str> {
    let kind = |response: &ResponseOp| match response.response.as_ref().expect("each has a kind") {
        Response::ResponseRange(_) => "range",
        Response::ResponsePut(_) => "put",
        Response::ResponseDeleteRange(_) => "delete",
        Response::ResponseTxn(_) => "txn",
    };
    responses.iter().map(kind).collect()
}

fn values(response: &ResponseOp) -> Vec<String> {
    let Some(Response::ResponseRange(range)) = response.response.clone() else { panic!("{response:?}") };
    let kvs = range.kvs.into_messages().expect("key-values decode");
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect()
}

fn if_version(name: &str, version: i64) -> registry_proto::etcdserverpb::Compare {
    compare(name, CompareResult::Equal, TargetUnion::Version(version))
}

#[tokio::test]
async fn the_comparison_decides_which_branch_is_executed() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let create = || TxnRequest {
        compare: vec![if_version("a", 0)],
        success: vec![put("a", "made").op()],
        failure: vec![key("a").op()],
    };
    let answer = client.txn(create()).await.unwrap();
    assert!(answer.succeeded);
    assert_eq!((kinds(&answer.responses), answer.header.unwrap().revision), (vec!["put"], 2));
    let answer = client.txn(create()).await.unwrap();
    assert!(!answer.succeeded);
    assert_eq!((kinds(&answer.responses), answer.header.unwrap().revision), (vec!["range"], 2));
    assert_eq!(values(&answer.responses[0]), ["made"]);
}

#[tokio::test]
async fn all_writes_of_nested_transactions_have_one_revision_and_each_answer_has_its_requests_kind() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("old", "1").await;
    let inner = txn(vec![put("b", "1").op(), txn(vec![put("c", "1").op()]).op(), delete("old").op()]);
    let answer = client.txn(txn(vec![put("a", "1").op(), inner.op(), everything().op()])).await.unwrap();
    assert_eq!(answer.header.unwrap().revision, 3);
    assert_eq!(kinds(&answer.responses), ["put", "txn", "range"]);
    let Some(Response::ResponseTxn(inner)) = &answer.responses[1].response else { unreachable!() };
    assert_eq!(kinds(&inner.responses), ["put", "txn", "delete"]);
    let kvs = client.range(everything()).await;
    assert_eq!(keys(&kvs), ["a", "b", "c"]);
    assert!(kvs.iter().all(|kv| kv.mod_revision == 3 && kv.create_revision == 3));
}

#[tokio::test]
async fn a_range_sees_the_writes_before_it_and_comparisons_do_not() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let inner = TxnRequest {
        // The state before the whole transaction: "a" is not there yet.
        compare: vec![if_version("a", 0)],
        success: vec![put("b", "unseen").op()],
        failure: vec![put("b", "seen").op()],
    };
    let ops = vec![key("a").op(), put("a", "1").op(), key("a").op(), inner.op(), key("b").op()];
    let answer = client.txn(txn(ops)).await.unwrap();
    assert!(values(&answer.responses[0]).is_empty());
    assert_eq!(values(&answer.responses[2]), ["1"]);
    assert_eq!(values(&answer.responses[4]), ["unseen"]);
}

#[tokio::test]
async fn prev_kv_and_delete_counts_work_inside() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for key in ["k/1", "k/2"] {
        client.put(key, "old").await;
    }
    let asked = PutRequest { prev_kv: true, ..put("a", "new") };
    client.put("a", "before").await;
    let answer = client.txn(txn(vec![asked.op(), delete_prefix("k/").op()])).await.unwrap();
    let Some(Response::ResponsePut(put)) = &answer.responses[0].response else { unreachable!() };
    assert_eq!(put.prev_kv.as_ref().unwrap().value, "before");
    let Some(Response::ResponseDeleteRange(deleted)) = &answer.responses[1].response else { unreachable!() };
    assert_eq!(deleted.deleted, 2);
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_makes_no_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    for request in [txn(vec![]), txn(vec![key("a").op()]), txn(vec![delete("b").op()])] {
        assert_eq!(client.txn(request).await.unwrap().header.unwrap().revision, 2);
    }
    assert_eq!(client.revision().await, 2);
}

#[tokio::test]
async fn a_transaction_that_fails_in_the_middle_applies_nothing() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    let future = RangeRequest { revision: 99, ..key("a") };
    let unknown_lease = PutRequest { lease: 404, ..put("c", "1") };
    let missing = PutRequest { ignore_value: true, ..put("missing", "") };
    for (broken, code, text) in [
        (future.op(), Code::OutOfRange, "mvcc: required revision is a future revision"),
        (unknown_lease.op(), Code::NotFound, "requested lease not found"),
        (missing.op(), Code::InvalidArgument, "key not found"),
    ] {
        let request = txn(vec![put("b", "1").op(), delete("a").op(), txn(vec![broken]).op()]);
        assert_eq!(refusal(client.txn(request).await), etcd_says(code, text));
        assert_eq!(keys(&client.range(everything()).await), ["a"]);
        assert_eq!(client.revision().await, 2);
    }
}

#[tokio::test]
async fn a_counter_raised_by_compare_and_swap_loses_no_step() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("counter", "0").await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        clients.spawn(async move {
            let mut raised = 0;
            while raised < 20 {
                let now = client.get("counter").await.unwrap();
                let next = std::str::from_utf8(&now.value).unwrap().parse::<u32>().unwrap() + 1;
                let mut swap = txn(vec![put("counter", next.to_string()).op()]);
                let unchanged = TargetUnion::ModRevision(now.mod_revision);
                swap.compare = vec![compare("counter", CompareResult::Equal, unchanged)];
                raised += usize::from(client.txn(swap).await.unwrap().succeeded);
            }
        });
    }
    clients.join_all().await;
    assert_eq!(client.value("counter").await.unwrap(), "160");
}
