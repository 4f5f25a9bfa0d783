//! What large answers may hold together, whether their clients read or not.

use std::time::Duration;

use prost::Message;
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::{DeleteRangeRequest, RangeRequest, RequestOp, TxnRequest};
use registry_server::server::Config;
use registry_tests::budget::SOON;
use registry_tests::requests::put;
use registry_tests::{Client, EmbeddedNode, Wire, eventually, refusal};
use serde_json::json;
use tonic::Code;

use super::kit::{Http, base64};

const MIB: usize = 1024 * 1024;

/// A node whose answers may hold 8 MiB, with keys of 1 MiB each.
async fn node(keys: usize) -> (EmbeddedNode, Client) {
    impatient_node(keys, Config::default().answer_patience).await
}

/// One that gives up answers which nobody reads for so long.
async fn impatient_node(keys: usize, patience: Duration) -> (EmbeddedNode, Client) {
    let change = |config: &mut Config| {
        config.max_answers_bytes = 8 * MIB as u64;
        config.answer_patience = patience;
    };
    let node = EmbeddedNode::start_with(change).await;
    let client = node.client().await;
    for key in 0..keys {
        let request = put(&format!("k{key:02}"), vec![b'v'; MIB]);
        client.try_put(request).await.expect("a put of a megabyte is allowed");
    }
    (node, client)
}

fn some(limit: i64) -> RangeRequest {
    RangeRequest { key: "k".into(), range_end: "l".into(), limit, ..RangeRequest::default() }
}

#[tokio::test]
async fn an_answer_above_all_that_there_is_is_refused_with_the_mend() {
    let (_node, client) = node(10).await;
    assert_eq!(client.try_range(some(7)).await.unwrap().count, 10);
    let (code, text) = refusal(client.try_range(some(0)).await);
    assert!(code == Code::ResourceExhausted && text.contains("ask with a limit"), "{text}");
    let sorted = RangeRequest { sort_order: 2, sort_target: 3, ..some(0) };
    assert_eq!(refusal(client.try_range(sorted).await).0, Code::ResourceExhausted);
    let mut stream = client.kv.clone().range_stream(some(0)).await.unwrap().into_inner();
    let mut bytes = 0;
    while let Some(part) = stream.message().await.unwrap() {
        let kvs = part.range_response.unwrap().kvs.into_messages().unwrap();
        bytes += kvs.iter().map(|kv| kv.value.len()).sum::<usize>();
    }
    assert_eq!(bytes, 10 * MIB);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_keeps_its_share_until_its_client_is_gone() {
    let (node, client) = node(6).await;
    let range = json!({ "key": base64("k"), "range_end": base64("l") }).to_string();
    for is_two in [false, true] {
        let mut http = if is_two { Http::connect2(node.url()).await } else { Http::connect(node.url()).await };
        let unread = http.stream("/v3/kv/range", &[], &range).await;
        assert_eq!(unread.status, 200);
        let text = "etcdserver: too many requests".to_owned();
        assert_eq!(refusal(client.try_range(some(0)).await), (Code::ResourceExhausted, text));
        // There is room for less.
        assert_eq!(client.try_range(some(1)).await.unwrap().count, 6);
        drop((http, unread));
        eventually(SOON, "the share is given back", async || client.try_range(some(0)).await.is_ok()).await;
    }
}

/// Over HTTP/1 and 2 in JSON.
#[tokio::test]
async fn a_client_that_stops_reading_and_stays_gives_its_share_back() {
    let (node, client) = impatient_node(6, Duration::from_secs(1)).await;
    let range = json!({ "key": base64("k"), "range_end": base64("l") }).to_string();
    for is_two in [false, true] {
        let mut http = if is_two { Http::connect2(node.url()).await } else { Http::connect(node.url()).await };
        let unread = http.stream("/v3/kv/range", &[], &range).await;
        assert_eq!(refusal(client.try_range(some(0)).await).0, Code::ResourceExhausted);
        eventually(SOON, "the share is given back", async || client.try_range(some(0)).await.is_ok()).await;
        drop((http, unread));
    }
}

#[tokio::test]
async fn a_grpc_client_that_stops_reading_and_stays_gives_its_share_back() {
    let (node, client) = impatient_node(6, Duration::from_secs(1)).await;
    let wire = Wire::connect(node.url()).await;
    let unread = wire.unread("/etcdserverpb.KV/Range", &some(0).encode_to_vec()).await;
    assert_eq!(refusal(client.try_range(some(0)).await).0, Code::ResourceExhausted);
    eventually(SOON, "the share is given back", async || client.try_range(some(0)).await.is_ok()).await;
    drop(unread);
}

/// They are refused before they are done; what was done is answered, and counts.
#[tokio::test]
async fn writes_that_read_take_their_share_too() {
    let (node, client) = node(6).await;
    let mut kv = client.kv.clone();
    let read = |range| RequestOp { request: Some(Operation::RequestRange(range)) };
    let write = || RequestOp { request: Some(Operation::RequestPut(put("k", "v"))) };
    let wire = Wire::connect(node.url()).await;
    let txn = TxnRequest { success: vec![write(), read(some(0))], ..TxnRequest::default() };
    let unread = wire.unread("/etcdserverpb.KV/Txn", &txn.encode_to_vec()).await;
    assert_eq!(refusal(client.try_range(some(0)).await).0, Code::ResourceExhausted);
    // All that is left is taken.
    let rest = wire.unread("/etcdserverpb.KV/Txn", &txn.encode_to_vec()).await;
    let revision = client.revision().await;
    let delete = DeleteRangeRequest { key: "k00".into(), prev_kv: true, ..DeleteRangeRequest::default() };
    assert_eq!(kv.delete_range(delete.clone()).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(kv.txn(txn).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(client.revision().await, revision, "nothing was done that was refused");
    client.put("k", "v").await;
    drop((unread, rest));
    eventually(SOON, "it may be done", async || kv.clone().delete_range(delete.clone()).await.is_ok()).await;
}
