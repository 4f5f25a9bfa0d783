//! Compaction.

use registry_proto::etcdserverpb::{CompactionRequest, RangeRequest};
use registry_tests::requests::{delete, everything, key};
use registry_tests::{EmbeddedNode, refusal};
use tonic::Code;

use super::{etcd_says, keys};

const COMPACTED: &str = "mvcc: required revision has been compacted";
const FUTURE: &str = "mvcc: required revision is a future revision";

#[tokio::test]
async fn what_is_older_than_the_compaction_is_gone_and_the_rest_stays() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    client.put("b", "1").await;
    client.put("a", "2").await;
    client.delete(delete("b")).await.unwrap();
    client.put("a", "3").await;
    client.compact(4).await.unwrap();
    let at = async |revision| client.try_range(RangeRequest { revision, ..everything() }).await;
    assert_eq!(refusal(at(3).await), etcd_says(Code::OutOfRange, COMPACTED));
    let answer = at(4).await.unwrap().kvs.into_messages().unwrap();
    assert_eq!((keys(&answer), &answer[0].value[..]), (vec!["a", "b"], &b"2"[..]));
    assert_eq!(keys(&client.range(everything()).await), ["a"]);
    let a = client.get("a").await.unwrap();
    assert_eq!((a.create_revision, a.version), (2, 3));
    assert_eq!(client.revision().await, 6);
}

#[tokio::test]
async fn the_same_revision_twice_and_the_future_are_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    client.put("a", "2").await;
    assert_eq!(refusal(client.compact(99).await), etcd_says(Code::OutOfRange, FUTURE));
    client.compact(3).await.unwrap();
    assert_eq!(refusal(client.compact(3).await), etcd_says(Code::OutOfRange, COMPACTED));
    assert_eq!(refusal(client.compact(2).await), etcd_says(Code::OutOfRange, COMPACTED));
    assert_eq!(client.value("a").await.unwrap(), "2");
}

#[tokio::test]
async fn a_compaction_answers_at_once_or_after_the_work_and_makes_no_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for n in 0..200 {
        client.put("a", &format!("{n}")).await;
    }
    for (revision, physical) in [(100, false), (150, true)] {
        let answer = client.kv.clone().compact(CompactionRequest { revision, physical }).await.unwrap();
        assert_eq!(answer.into_inner().header.unwrap().revision, 201);
    }
    assert_eq!(client.value("a").await.unwrap(), "199");
}

#[tokio::test]
async fn a_future_revision_cannot_be_read() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    for serializable in [false, true] {
        let request = RangeRequest { revision: 3, serializable, ..key("a") };
        assert_eq!(refusal(client.try_range(request).await), etcd_says(Code::OutOfRange, FUTURE));
    }
}
