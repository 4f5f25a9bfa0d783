//! Refusals: etcd's codes and texts, which clients match on.

use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use registry_tests::requests::{Operation, compare, delete, delete_prefix, everything, key, leased, put, txn};
use registry_tests::{EmbeddedNode, refusal};
use tonic::Code::{InvalidArgument, NotFound};

use super::etcd_says;

#[tokio::test]
async fn requests_without_a_key_are_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(InvalidArgument, "key is not provided");
    assert_eq!(refusal(client.try_range(key("")).await), expected);
    assert_eq!(refusal(client.try_put(put("", "v")).await), expected);
    assert_eq!(refusal(client.delete(delete("")).await), expected);
    for op in [key("").op(), put("", "v").op(), delete("").op(), txn(vec![put("", "v").op()]).op()] {
        assert_eq!(refusal(client.txn(txn(vec![op])).await), expected);
    }
    let target = registry_proto::etcdserverpb::compare::TargetUnion::Version(0);
    let nameless = compare("", registry_proto::etcdserverpb::compare::CompareResult::Equal, target);
    let request = TxnRequest { compare: vec![nameless], ..txn(vec![]) };
    assert_eq!(refusal(client.txn(request).await), expected);
    assert_eq!(client.revision().await, 1);
}

#[tokio::test]
async fn a_put_that_keeps_and_gives_at_once_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    let kept_value = PutRequest { ignore_value: true, ..put("a", "v") };
    let kept_lease = PutRequest { ignore_lease: true, ..leased("a", "v", 7) };
    for (request, text) in [(kept_value, "value is provided"), (kept_lease, "lease is provided")] {
        assert_eq!(refusal(client.try_put(request.clone()).await), etcd_says(InvalidArgument, text));
        assert_eq!(refusal(client.txn(txn(vec![request.op()])).await), etcd_says(InvalidArgument, text));
    }
}

#[tokio::test]
async fn keeping_what_is_not_there_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(InvalidArgument, "key not found");
    let no_value = PutRequest { ignore_value: true, ..put("none", "") };
    let no_lease = PutRequest { ignore_lease: true, ..put("none", "v") };
    for request in [no_value, no_lease] {
        assert_eq!(refusal(client.try_put(request).await), expected);
    }
    let unknown = refusal(client.try_put(leased("a", "v", 404)).await);
    assert_eq!(unknown, etcd_says(NotFound, "requested lease not found"));
    assert_eq!(client.revision().await, 1);
}

#[tokio::test]
async fn sort_options_that_do_not_exist_are_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(InvalidArgument, "invalid sort option");
    for request in [RangeRequest { sort_order: 9, ..everything() }, RangeRequest { sort_target: 9, ..everything() }] {
        assert_eq!(refusal(client.try_range(request).await), expected);
    }
}

#[tokio::test]
async fn a_level_takes_128_operations_and_a_nested_transaction_what_is_left() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let puts = |count: usize| -> Vec<RequestOp> { (0..count).map(|n| put(&format!("k{n}"), "v").op()).collect() };
    let expected = etcd_says(InvalidArgument, "too many operations in txn request");
    client.txn(txn(puts(128))).await.unwrap();
    assert_eq!(refusal(client.txn(txn(puts(129))).await), expected);
    assert_eq!(refusal(client.txn(TxnRequest { failure: puts(129), ..txn(vec![]) }).await), expected);
    client.txn(txn(vec![txn(puts(127)).op()])).await.unwrap();
    assert_eq!(refusal(client.txn(txn(vec![txn(puts(128)).op()])).await), expected);
    // The branches do not add up: the largest list counts.
    client.txn(TxnRequest { failure: puts(128), ..txn(puts(128)) }).await.unwrap();
}

#[tokio::test]
async fn a_key_written_twice_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(InvalidArgument, "duplicate key given in txn request");
    for ops in [
        vec![put("a", "1").op(), put("a", "2").op()],
        vec![put("a", "1").op(), delete("a").op()],
        vec![delete_prefix("a").op(), put("a/b", "2").op()],
        vec![put("a", "1").op(), txn(vec![put("a", "2").op()]).op()],
    ] {
        assert_eq!(refusal(client.txn(txn(ops)).await), expected);
    }
    // Only one of the branches happens; and two deletes of a key are no contradiction.
    client.txn(TxnRequest { failure: vec![put("a", "2").op()], ..txn(vec![put("a", "1").op()]) }).await.unwrap();
    client.txn(txn(vec![delete("a").op(), delete("a").op()])).await.unwrap();
}

#[tokio::test]
async fn an_operation_of_no_kind_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let answer = client.txn(txn(vec![RequestOp::default()])).await;
    assert_eq!(refusal(answer), etcd_says(InvalidArgument, "key not found"));
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused_and_one_below_is_taken() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(InvalidArgument, "request is too large");
    let large = "x".repeat(1536 * 1024);
    assert_eq!(refusal(client.try_put(put("a", large.clone())).await), expected);
    assert_eq!(refusal(client.txn(txn(vec![put("a", large.clone()).op()])).await), expected);
    assert_eq!(client.revision().await, 1);
    let most = large.len() - 100;
    client.try_put(put("a", large[..most].to_owned())).await.unwrap();
    assert_eq!(client.value("a").await.unwrap().len(), most);
}

#[tokio::test]
async fn a_message_far_above_the_limit_is_refused_and_the_connection_goes_on() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let (code, _) = refusal(client.try_put(put("a", vec![0; 5 << 20])).await);
    assert!(matches!(code, tonic::Code::ResourceExhausted | tonic::Code::OutOfRange), "{code:?}");
    client.put("a", "1").await;
    client.delete(DeleteRangeRequest::clone(&delete("a"))).await.unwrap();
}
