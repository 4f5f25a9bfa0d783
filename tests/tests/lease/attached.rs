//! Keys under leases.

use registry_proto::etcdserverpb::PutRequest;
use registry_tests::requests::{Operation, delete, everything, leased, prefix, put, txn};
use registry_tests::{EmbeddedNode, refusal};
use tonic::Code;

#[tokio::test]
async fn a_revoke_deletes_all_keys_of_the_lease_in_one_revision_and_no_other() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.grant(8, 600).await.unwrap();
    for n in 0..50 {
        client.try_put(leased(&format!("seven/{n}"), "1", 7)).await.unwrap();
    }
    client.try_put(leased("eight", "1", 8)).await.unwrap();
    client.put("free", "1").await;
    let before = client.revision().await;
    assert_eq!(client.revoke(7).await.unwrap(), before + 1);
    assert!(client.range(prefix("seven/")).await.is_empty());
    assert_eq!(client.range(everything()).await.len(), 2);
}

#[tokio::test]
async fn a_put_under_an_unknown_lease_fails() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = (Code::NotFound, "etcdserver: requested lease not found".to_owned());
    assert_eq!(refusal(client.try_put(leased("a", "1", 404)).await), expected);
    assert_eq!(refusal(client.txn(txn(vec![leased("a", "1", 404).op()])).await), expected);
    client.grant(7, 600).await.unwrap();
    client.revoke(7).await.unwrap();
    assert_eq!(refusal(client.try_put(leased("a", "1", 7)).await), expected);
    assert!(client.get("a").await.is_none());
}

#[tokio::test]
async fn a_key_is_under_the_lease_of_its_last_put() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.grant(8, 600).await.unwrap();
    client.try_put(leased("a", "1", 7)).await.unwrap();
    client.try_put(leased("a", "2", 8)).await.unwrap();
    assert!(client.time_to_live(7).await.keys.is_empty());
    assert_eq!(client.time_to_live(8).await.keys, ["a"]);
    client.revoke(7).await.unwrap();
    assert_eq!(client.value("a").await.unwrap(), "2");
    // A put without a lease takes the key off.
    client.put("a", "3").await;
    assert!(client.time_to_live(8).await.keys.is_empty());
    client.revoke(8).await.unwrap();
    assert_eq!(client.value("a").await.unwrap(), "3");
}

#[tokio::test]
async fn moves_inside_a_transaction_count_too() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.grant(8, 600).await.unwrap();
    let under = |lease| ["a", "b"].map(|key| leased(key, "1", lease).op()).to_vec();
    client.txn(txn(under(7))).await.unwrap();
    client.txn(txn(vec![txn(under(8)).op()])).await.unwrap();
    assert!(client.time_to_live(7).await.keys.is_empty());
    assert_eq!(client.time_to_live(8).await.keys, ["a", "b"]);
    let kept = PutRequest { ignore_lease: true, ..put("a", "2") };
    client.txn(txn(vec![kept.op(), delete("b").op()])).await.unwrap();
    assert_eq!(client.time_to_live(8).await.keys, ["a"]);
    assert_eq!(client.get("a").await.unwrap().lease, 8);
}

#[tokio::test]
async fn a_deleted_key_that_is_put_again_is_free() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.try_put(leased("a", "1", 7)).await.unwrap();
    client.delete(delete("a")).await.unwrap();
    client.put("a", "free").await;
    client.revoke(7).await.unwrap();
    assert_eq!(client.value("a").await.unwrap(), "free");
}
