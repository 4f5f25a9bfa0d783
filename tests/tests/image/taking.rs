//! Snapshots as clients take them, one or several, to the end or not.

use bytes::Bytes;
use registry_proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use registry_tests::budget::SOON;
use registry_tests::{Client, EmbeddedNode, eventually, refusal, requests, within};
use tonic::{Code, Status, Streaming};

use crate::history;

/// Snapshots that a server sends at a time.
const AT_A_TIME: usize = 4;

async fn begin(client: &Client) -> Result<Streaming<SnapshotResponse>, Status> {
    within(client.maintenance.clone().snapshot(SnapshotRequest {})).await.map(tonic::Response::into_inner)
}

/// A server with more than any window of a connection takes.
async fn large() -> (EmbeddedNode, Client) {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for number in 0..20 {
        client
            .try_put(requests::put(&format!("large-{number}"), vec![b'l'; 1_000_000]))
            .await
            .expect("the put is accepted");
    }
    (node, client)
}

#[tokio::test]
async fn a_snapshot_ends_with_the_digest_of_what_came_before() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    history::write(&client).await;
    let mut stream = begin(&client).await.unwrap();
    let mut messages = Vec::new();
    while let Some(message) = within(stream.message()).await.unwrap() {
        messages.push(message);
    }
    let digest = messages.pop().unwrap();
    let bytes: Bytes = messages.iter().flat_map(|message| message.blob.clone()).collect();
    assert_eq!(digest.blob, ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref());
    let first = &messages[0];
    assert_eq!(first.remaining_bytes + first.blob.len() as u64, bytes.len() as u64);
    assert_eq!((digest.remaining_bytes, digest.version.as_str()), (0, "3.7.0"));
    assert!(bytes.len() > 1_000_000 && bytes.len().is_multiple_of(4096));
}

#[tokio::test]
async fn four_snapshots_at_a_time_are_sent_and_one_that_is_given_up_makes_room() {
    let (node, client) = large().await;
    let mut streams = Vec::new();
    for _ in 0..AT_A_TIME {
        // A connection each, so that none waits for the window of another.
        streams.push(begin(&node.client().await).await.unwrap());
    }
    let refused = refusal(begin(&client).await);
    assert_eq!(refused, (Code::ResourceExhausted, "etcdserver: too many requests".to_owned()));
    streams.pop();
    eventually(SOON, "there is room for another", async || begin(&client).await.is_ok()).await;
}

#[tokio::test]
async fn clients_write_while_a_snapshot_waits_for_its_client_and_it_is_what_it_was() {
    let (_node, client) = large().await;
    let mut stream = begin(&client).await.unwrap();
    for number in 0..20 {
        client.put(&format!("large-{number}"), "small").await;
    }
    let newest = client.revision().await;
    client.try_put(requests::put("more", "")).await.unwrap();
    let mut bytes = 0;
    while let Some(message) = within(stream.message()).await.unwrap() {
        bytes += message.blob.len();
    }
    assert!(bytes > 20_000_000, "{bytes}");
    // History is free again: physical compaction comes to its end.
    within(client.compact(newest)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_who_takes_a_snapshot() {
    let (mut node, client) = large().await;
    let mut stream = begin(&client).await.unwrap();
    within(node.stop()).await;
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if it was whole"),
                Err(status) => break status,
            }
        }
    };
    let status = within(ended).await;
    assert!([Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled].contains(&status.code()), "{status}");
}
