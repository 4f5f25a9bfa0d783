//! Watches and keep-alives as lines, while the request stays open.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use registry_tests::budget::SOON;
use registry_tests::requests::delete;
use registry_tests::{EmbeddedNode, eventually};
use serde_json::{Value, json};

use super::kit::{Http, base64, refusal};

fn watch(key: &str) -> Value {
    json!({ "create_request": { "key": base64(key) } })
}

async fn put(node: &EmbeddedNode, key: &'static str, value: &'static str) {
    node.client().await.put(key, value).await;
}

/// What the server says of its watchers.
async fn watchers(node: &EmbeddedNode) -> u64 {
    let metrics = Http::connect(node.url()).await.ask(Method::GET, "/metrics", &[], "").await.text;
    let line = metrics.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total "));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.expect("watchers are counted")
}

#[tokio::test]
async fn each_event_is_a_line_that_comes_while_the_stream_is_open() {
    let node = EmbeddedNode::start().await;
    for mut http in [Http::connect(node.url()).await, Http::connect2(node.url()).await] {
        let mut stream = http.stream("/v3/watch", &[], &watch("a").to_string()).await;
        assert_eq!(
            (stream.status.as_u16(), &stream.headers["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        let created = stream.result().await;
        assert_eq!(created["created"], true);
        for value in ["1", "2"] {
            put(&node, "a", value).await;
            let events = stream.result().await["events"].take();
            // A put has no type, as that is the first.
            assert_eq!(events[0]["kv"]["value"], base64(value));
            assert!(events[0].get("type").is_none(), "{events}");
        }
        // A second request on the same stream, and the end of one watcher.
        stream.send(&watch("b")).await;
        let second = stream.result().await;
        assert_eq!((&second["created"], &second["watch_id"]), (&json!(true), &json!("1")));
        stream.send(&json!({ "cancel_request": { "watch_id": "1" } })).await;
        let canceled = stream.result().await;
        assert_eq!((&canceled["canceled"], &canceled["watch_id"]), (&json!(true), &json!("1")));
        node.client().await.delete(delete("a")).await.unwrap();
        assert_eq!(stream.result().await["events"][0]["type"], "DELETE");
    }
}

#[tokio::test]
async fn a_watch_stays_open_when_its_requests_have_ended() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let mut stream = http.stream("/v3/watch", &[], &format!("{}\n{}", watch("a"), watch("b"))).await;
    assert_eq!((&stream.result().await["created"], &stream.result().await["created"]), (&json!(true), &json!(true)));
    stream.finish();
    put(&node, "b", "1").await;
    assert_eq!(stream.result().await["events"][0]["kv"]["key"], base64("b"));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_watcher_behind() {
    let node = EmbeddedNode::start().await;
    for is_two in [false, true] {
        let mut http = if is_two { Http::connect2(node.url()).await } else { Http::connect(node.url()).await };
        let mut stream = http.stream("/v3/watch", &[], &watch("a").to_string()).await;
        assert_eq!(stream.result().await["created"], true);
        stream.finish();
        assert_eq!(watchers(&node).await, 1);
        drop((http, stream));
        eventually(SOON, "the watcher goes with its client", async || watchers(&node).await == 0).await;
    }
}

#[tokio::test]
async fn leases_are_kept_alive_one_after_the_other_and_the_stream_ends_with_the_requests() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    http.call("/v3/lease/grant", &json!({ "TTL": "600", "ID": "7" })).await;
    let mut stream = http.stream("/v3/lease/keepalive", &[], r#"{"ID":"7"}{"ID":"8"}"#).await;
    let (known, unknown) = (stream.result().await, stream.result().await);
    assert_eq!((&known["ID"], &known["TTL"]), (&json!("7"), &json!("600")));
    assert_eq!(unknown["ID"], "8");
    assert!(unknown.get("TTL").is_none(), "{unknown}");
    stream.send(&json!({ "ID": 7 })).await;
    assert_eq!(stream.result().await["TTL"], "600");
    stream.finish();
    assert!(stream.line().await.is_none());
}

#[tokio::test]
async fn a_snapshot_comes_as_lines_and_ends_with_its_digest() {
    let node = EmbeddedNode::start().await;
    put(&node, "a", "1").await;
    let mut http = Http::connect(node.url()).await;
    let mut stream = http.stream("/v3/maintenance/snapshot", &[], "{}").await;
    stream.finish();
    let (mut bytes, mut left) = (Vec::new(), String::new());
    while let Some(line) = stream.line().await {
        let result = &line["result"];
        left = result["remaining_bytes"].as_str().unwrap_or("0").to_owned();
        bytes.extend(STANDARD.decode(result["blob"].as_str().unwrap()).unwrap());
    }
    let (image, digest) = bytes.split_at(bytes.len() - ring::digest::SHA256_OUTPUT_LEN);
    assert_eq!((left.as_str(), digest), ("0", ring::digest::digest(&ring::digest::SHA256, image).as_ref()));
}

#[tokio::test]
async fn what_is_wrong_with_a_stream_is_its_last_line() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    // Before the first answer the status says so, too.
    let mut stream = http.stream("/v3/watch", &[], "[]").await;
    let line = stream.line().await.unwrap();
    let (status, code, text) = refusal(stream.status, &line["error"]);
    assert!((status, code) == (400, 3) && text.starts_with("invalid character '['"), "{text}");
    assert!(stream.line().await.is_none());

    let mut http = Http::connect(node.url()).await;
    let mut stream = http.stream("/v3/watch", &[], &watch("a").to_string()).await;
    assert_eq!(stream.result().await["created"], true);
    stream.send(&json!({ "create_request": { "key": 5 } })).await;
    let line = stream.line().await.unwrap();
    assert_eq!((stream.status.as_u16(), &line["error"]["code"]), (200, &json!(3)), "{line}");
    assert!(stream.line().await.is_none());
}

#[tokio::test]
async fn a_stop_ends_a_stream_with_a_line() {
    let mut node = EmbeddedNode::start_with(|config| config.shutdown_grace = Duration::from_secs(5)).await;
    let mut http = Http::connect(node.url()).await;
    let mut stream = http.stream("/v3/watch", &[], &watch("a").to_string()).await;
    assert_eq!(stream.result().await["created"], true);
    let stopping = node.stop();
    let ((), line) = tokio::join!(stopping, stream.line());
    assert_eq!(line.unwrap()["error"], json!({ "code": 14, "message": "etcdserver: server stopped" }));
}
