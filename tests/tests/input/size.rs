//! Requests that are too large: for the log, for one message, and for the headers.

use prost::Message;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest};
use registry_tests::requests::{Operation, key, put, txn};
use registry_tests::wire::frame;
use registry_tests::{Client, Wire, refusal};
use tonic::Code::{InvalidArgument, ResourceExhausted};

use crate::healthy::Servers;

/// What `--max-request-bytes` is unless given.
const REQUEST_BYTES: usize = 1536 * 1024;
/// The largest message: 512 KiB more.
const MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// What our log puts before a request; etcd adds up to some 30 bytes, which differ from request to request.
const OUR_HEAD_BYTES: usize = 2;
const ETCD_HEAD_BYTES: usize = 40;

fn too_large() -> (tonic::Code, String) {
    (InvalidArgument, "etcdserver: request is too large".to_owned())
}

/// A put that is so long once encoded.
fn put_of(bytes: usize) -> PutRequest {
    let empty = put("a", "");
    // The value's tag and its length of three or four bytes.
    let mut request = put("a", vec![b'x'; bytes - empty.encoded_len() - 5]);
    while request.encoded_len() < bytes {
        request.value = vec![b'x'; request.value.len() + 1].into();
    }
    assert_eq!(request.encoded_len(), bytes);
    request
}

/// A range that is so long once encoded: its key's tag, a length of three bytes, the key.
fn range_of(bytes: usize) -> RangeRequest {
    let request = RangeRequest { key: vec![b'k'; bytes - 4].into(), ..key("") };
    assert_eq!(request.encoded_len(), bytes);
    request
}

#[tokio::test]
async fn the_largest_request_is_taken_and_one_byte_more_is_refused() {
    let servers = Servers::start().await;
    for (url, is_etcd) in servers.urls() {
        let client = Client::connect(url).await;
        let most = REQUEST_BYTES - if is_etcd { ETCD_HEAD_BYTES } else { OUR_HEAD_BYTES };
        let before = client.revision().await;
        client.try_put(put_of(most)).await.expect("the largest request");
        let least_refused = if is_etcd { REQUEST_BYTES + 1 } else { most + 1 };
        assert_eq!(refusal(client.try_put(put_of(least_refused)).await), too_large());
        for parts in [1, 2, 128] {
            let part = REQUEST_BYTES / parts;
            let ops = (0..parts).map(|n| put(&format!("{n}"), vec![b'x'; part]).op()).collect();
            assert_eq!(refusal(client.txn(txn(ops)).await), too_large(), "in {parts} parts");
        }
        assert_eq!(client.revision().await, before + 1, "what was refused changed nothing");
    }
    servers.are_healthy().await;
}

/// Reads do not go into the log, so only the message's bound is theirs.
#[tokio::test]
async fn a_message_may_have_two_mebibytes_and_not_one_byte_more() {
    let servers = Servers::start().await;
    for (url, _) in servers.urls() {
        let client = Client::connect(url).await;
        assert_eq!(client.try_range(range_of(MESSAGE_BYTES)).await.expect("the largest message").count, 0);
        let text = "grpc: received message larger than max (2097153 vs. 2097152)";
        let refused = (ResourceExhausted, text.to_owned());
        assert_eq!(refusal(client.try_range(range_of(MESSAGE_BYTES + 1)).await), refused);
        assert_eq!(refusal(client.try_put(put_of(MESSAGE_BYTES + 1)).await), refused);
        assert_eq!(refusal(client.try_put(put_of(MESSAGE_BYTES)).await), too_large());
        client.put("a", "the connection goes on").await;
    }
    servers.are_healthy().await;
}

/// The bound of 64 KiB is ours; etcd's is 16 MiB, and it is not asked.
#[tokio::test]
async fn headers_above_64_kib_are_refused_and_the_connection_goes_on() {
    let servers = Servers::start().await;
    let (url, _) = servers.urls().next().expect("ours is the first");
    let wire = Wire::connect(url).await;
    let body = frame(&key("a").encode_to_vec());
    for (bytes, status) in [(60 << 10, 200), (70 << 10, 431)] {
        let head = wire.head("/etcdserverpb.KV/Range").header("x-long", "x".repeat(bytes));
        match wire.send(head, body.clone()).await {
            Ok(answer) => assert_eq!(answer.http, status, "{bytes} bytes"),
            // The server tells its bound in advance, and a client may keep to it.
            Err(error) => assert_eq!(status, 431, "{bytes} bytes: {error:?}"),
        }
    }
    let answer = wire.send(wire.head("/etcdserverpb.KV/Range"), body).await.expect("the connection goes on");
    assert_eq!(answer.http, 200);
    servers.are_healthy().await;
}
