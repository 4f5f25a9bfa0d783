//! Heads: statuses, metadata both ways, timeouts.

use http::Method;
use registry_tests::EmbeddedNode;
use serde_json::json;
use tonic::Code;

use super::kit::{Http, base64};

#[tokio::test]
async fn errors_have_etcds_code_and_text_and_their_http_status() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    for (path, body, status, code, text) in [
        ("/v3/kv/put", "{}", 400, 3, "etcdserver: key is not provided"),
        ("/v3/lease/revoke", r#"{"ID":"1"}"#, 404, 5, "etcdserver: requested lease not found"),
        (
            "/v3/kv/compaction",
            r#"{"revision":"9"}"#,
            400,
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        ("/v3/lease/grant", r#"{"TTL":"9000000001"}"#, 400, 11, "etcdserver: too large lease TTL"),
        ("/v3/cluster/member/remove", r#"{"ID":"1"}"#, 404, 5, "etcdserver: member not found"),
    ] {
        let answer = http.post(path, body).await;
        assert_eq!(answer.refusal(), (status, code, text.to_owned()), "{path}");
        // Nothing else is in it, and in this order.
        assert_eq!(answer.text, format!(r#"{{"code":{code},"message":"{text}"}}"#));
    }
}

#[tokio::test]
async fn metadata_is_passed_on_and_answered() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let answer = http.post("/v3/kv/range", json!({ "key": base64("a") }).to_string()).await;
    assert_eq!(answer.headers["grpc-metadata-content-type"], "application/grpc");
    assert_eq!(answer.headers["content-length"], answer.text.len().to_string());
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("grpc-status")), "{:?}", answer.headers);
    // What the call would be refused with, had it not been taken out.
    let headers = [("grpc-metadata-content-type", "text/html"), ("grpc-metadata-te", "x"), ("authorization", "t")];
    let answer = http.ask(Method::POST, "/v3/kv/range", &headers, json!({ "key": base64("a") }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_timeout_ends_the_call() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let answer = http.ask(Method::POST, "/v3/kv/put", &[("grpc-timeout", "0n")], r#"{"key":"YQ=="}"#).await;
    assert_eq!(answer.refusal(), (504, Code::DeadlineExceeded as i64, "context deadline exceeded".to_owned()));
    // It was not begun.
    assert!(http.call("/v3/kv/range", &json!({ "key": base64("a") })).await.get("count").is_none());
    let answer = http.ask(Method::POST, "/v3/kv/put", &[("grpc-timeout", "soon")], r#"{"key":"YQ=="}"#).await;
    assert_eq!(answer.refusal(), (400, 3, "invalid grpc-timeout: soon".to_owned()));
    // A stream that would stay open.
    let create = json!({ "create_request": { "key": base64("a") } }).to_string();
    let mut watch = http.stream("/v3/watch", &[("grpc-timeout", "1S")], &create).await;
    assert_eq!(watch.result().await["created"], true);
    assert_eq!(watch.line().await.unwrap(), json!({ "error": { "code": 4, "message": "context deadline exceeded" } }));
    assert!(watch.line().await.is_none());
}

#[tokio::test]
async fn calls_in_json_are_counted_as_the_calls_they_are() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    http.call("/v3/kv/put", &json!({ "key": base64("a") })).await;
    http.post("/v3/kv/put", "{}").await;
    let metrics = http.ask(Method::GET, "/metrics", &[], "").await.text;
    for (code, count) in [("OK", 1), ("InvalidArgument", 1)] {
        let line = format!(
            "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line}");
    }
}
