//! RangeStream tells what Range tells, in parts.

use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::{RangeRequest, RangeResponse};
use registry_proto::mvccpb::KeyValue;
use registry_tests::requests::{Operation, everything, key, put, txn};
use registry_tests::{Client, EmbeddedNode, refusal};
use tonic::{Code, Status};

use super::etcd_says;

/// All parts of the answer; the last one has header, more and count.
async fn parts(client: &Client, request: RangeRequest) -> Result<Vec<RangeResponse>, Status> {
    let mut stream = client.kv.clone().range_stream(request).await?.into_inner();
    let mut parts = Vec::new();
    while let Some(part) = stream.message().await? {
        parts.push(part.range_response.expect("each part has an answer"));
    }
    Ok(parts)
}

/// More keys than one slice holds.
async fn many_keys() -> (EmbeddedNode, Client) {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for part in 0..80 {
        let ops = (0..128).map(|n| put(&format!("k/{part:03}/{n:03}"), format!("{n}")).op()).collect();
        client.txn(txn(ops)).await.expect("put");
    }
    (node, client)
}

#[tokio::test]
async fn a_streamed_range_equals_a_range() {
    let (_node, client) = many_keys().await;
    for request in [
        everything(),
        key("k/001/001"),
        key("none"),
        RangeRequest { limit: 7_000, ..everything() },
        RangeRequest { keys_only: true, revision: 40, ..everything() },
        RangeRequest { count_only: true, ..everything() },
        RangeRequest { serializable: true, ..everything() },
    ] {
        let whole = client.try_range(request.clone()).await.unwrap();
        let mut parts = parts(&client, request.clone()).await.unwrap();
        let last = parts.last().unwrap().clone();
        assert_eq!((last.header, last.more, last.count), (whole.header, whole.more, whole.count), "{request:?}");
        let whole = whole.kvs.into_messages().unwrap();
        let count = parts.len();
        assert_eq!(count > 1, whole.len() > 4_000, "{count} parts for {request:?}");
        for part in &parts[..count - 1] {
            assert!(part.header.is_none() && !part.more && part.count == 0);
        }
        let kvs: Vec<KeyValue> = parts.drain(..).flat_map(|part| part.kvs.into_messages().unwrap()).collect();
        assert!(kvs == whole, "{request:?}");
    }
}

#[tokio::test]
async fn a_stream_shows_the_revision_at_which_it_began() {
    let (_node, client) = many_keys().await;
    let revision = client.revision().await;
    let mut stream = client.kv.clone().range_stream(everything()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().range_response.unwrap();
    client.put("k/999", "later").await;
    let mut kvs = first.kvs.into_messages().unwrap();
    while let Some(part) = stream.message().await.unwrap() {
        kvs.extend(part.range_response.unwrap().kvs.into_messages().unwrap());
    }
    assert_eq!(kvs.len(), 80 * 128);
    assert!(kvs.iter().all(|kv| kv.mod_revision <= revision));
}

#[tokio::test]
async fn other_orders_and_filters_are_not_streamed() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let by_value =
        RangeRequest { sort_target: SortTarget::Value.into(), sort_order: SortOrder::Ascend.into(), ..everything() };
    let descending = RangeRequest { sort_order: SortOrder::Descend.into(), ..everything() };
    let filtered = RangeRequest { min_mod_revision: 2, ..everything() };
    for request in [by_value, descending, filtered] {
        assert_eq!(refusal(parts(&client, request).await).0, Code::Unimplemented);
    }
    let ascending = RangeRequest { sort_order: SortOrder::Ascend.into(), ..everything() };
    assert_eq!(parts(&client, ascending).await.unwrap().len(), 1);
    let expected = etcd_says(Code::InvalidArgument, "key is not provided");
    assert_eq!(refusal(parts(&client, key("")).await), expected);
    let expected = etcd_says(Code::OutOfRange, "mvcc: required revision is a future revision");
    assert_eq!(refusal(parts(&client, RangeRequest { revision: 9, ..everything() }).await), expected);
}
