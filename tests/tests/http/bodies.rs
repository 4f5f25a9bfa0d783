//! What a body may be.

use registry_tests::EmbeddedNode;
use serde_json::json;

use super::kit::{Http, base64};

/// For a large body whose refusal is lost, as its connection is closed while it is being sent.
const ATTEMPTS: usize = 20;

#[tokio::test]
async fn numbers_bytes_names_and_unknown_fields_are_read_as_protobufs_json_says() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let key = [0xfb, 0xff, 0xfe, 0x00, 0x3f];
    // URL-safe, and without padding.
    let put = json!({ "key": "-__-AD8", "value": "_w==", "lease": "0", "something": { "else": [1, null] } });
    http.call("/v3/kv/put", &put).await;
    let range = http.call("/v3/kv/range", &json!({ "key": base64(key) })).await;
    assert_eq!((&range["kvs"][0]["key"], &range["kvs"][0]["value"]), (&json!("+//+AD8="), &json!("/w==")));
    for limit in [json!("1"), json!(1), json!(1.0), json!(null)] {
        for order in [json!("DESCEND"), json!(2), json!("SOMETHING_NEW"), json!(null)] {
            // Both spellings of a name.
            let range = json!({ "key": base64("\0"), "rangeEnd": base64("\0"), "limit": limit, "sort_order": order });
            assert_eq!(http.call("/v3/kv/range", &range).await["count"], "1", "{limit} {order}");
        }
    }
    let largest = json!({ "key": base64("a"), "revision": "9223372036854775807" });
    let (_, code, text) = http.post("/v3/kv/range", largest.to_string()).await.refusal();
    assert_eq!((code, text.as_str()), (11, "etcdserver: mvcc: required revision is a future revision"));
}

#[tokio::test]
async fn no_body_is_an_empty_request_and_what_follows_the_object_is_not_looked_at() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    for body in ["", " \n", "{}", "{}}", "{} and more"] {
        assert_eq!(http.post("/v3/maintenance/status", body).await.status, 200, "{body:?}");
    }
    // As curl sends it without being told.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = http.ask(http::Method::POST, "/v3/kv/put", &form, r#"{"key":"YQ=="}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_place() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    for (body, text) in [
        ("[]", "invalid character '['"),
        ("null", "invalid character 'n'"),
        ("key=a", "invalid character 'k'"),
        (r#"{"key":"YQ==""#, "unexpected EOF"),
        (r#"{"key":YQ}"#, "etcdserverpb.PutRequest: expected value at line 1 column 8"),
        (r#"{"key":5}"#, "invalid type: integer `5`, expected a base64-encoded string at line 1 column 8"),
        (r#"{"key":"Y*=="}"#, "invalid base64"),
        (r#"{"lease":"seven"}"#, "invalid digit"),
        (r#"{"lease":1.5}"#, "expected integer value"),
        (r#"{"lease":9223372036854775808}"#, "out of range"),
        (r#"{"prev_kv":"true"}"#, "expected a boolean"),
        ("{\"key\":\"\u{1}\"}", "control character"),
    ] {
        let (status, code, message) = http.post("/v3/kv/put", body).await.refusal();
        assert!((status, code) == (400, 3) && message.contains(text), "{body}: {status} {code} {message}");
    }
    // Not UTF-8.
    let (status, _, _) = http.post("/v3/kv/put", &b"{\"key\":\"\xff\"}"[..]).await.refusal();
    assert_eq!(status, 400);
    // None of that was a put, and the connection is still good.
    let range = http.call("/v3/kv/range", &json!({ "key": base64("\0"), "range_end": base64("\0") })).await;
    assert!(range.get("count").is_none(), "{range}");
}

#[tokio::test]
async fn a_body_above_the_bound_is_refused_and_one_below_is_not() {
    let node = EmbeddedNode::start_with(|config| config.max_request_bytes = 100_000).await;
    let mut http = Http::connect(node.url()).await;
    let put = |bytes: usize| json!({ "key": base64("a"), "value": base64(vec![7; bytes]) }).to_string();
    assert_eq!(http.post("/v3/kv/put", put(90_000)).await.status, 200);
    // Above what a request may be, above what a message may be, and above what a body may be.
    let (status, code, text) = http.post("/v3/kv/put", put(200_000)).await.refusal();
    assert_eq!((status, code, text.as_str()), (400, 3, "etcdserver: request is too large"));
    for bytes in [700_000, 3_000_000, 30_000_000] {
        // A refused body is not read to its end, so its connection is used up; and whoever is still sending when it is closed
        // may find that before the answer, and asks again.
        let mut answer = None;
        for _ in 0..ATTEMPTS {
            let mut http = Http::connect(node.url()).await;
            answer = http.try_post("/v3/kv/put", put(bytes)).await;
            if answer.is_some() {
                break;
            }
        }
        let (status, code, text) = answer.expect("one of the answers is read").refusal();
        assert!((status, code) == (429, 8) && text.starts_with("grpc: received message larger than max"), "{text}");
    }
}

#[tokio::test]
async fn depth_is_bounded_wherever_it_is() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let (txn, end) = (r#"{"success":[{"request_txn":"#, "}]}");
    for depth in [60, 100, 10_000] {
        let body = format!("{}{{}}{}", txn.repeat(depth), end.repeat(depth));
        let (status, _, text) = http.post("/v3/kv/txn", body).await.refusal();
        assert!(status >= 400 && text.contains("recursion"), "{depth}: {status} {text}");
    }
    // Below a field that is passed over.
    let body = format!("{{\"unknown\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    let answer = http.post("/v3/kv/range", body).await;
    assert_eq!(answer.refusal().2, "etcdserver: key is not provided");
}

#[tokio::test]
async fn a_body_with_many_small_parts_is_read() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    // A megabyte that means hundreds of megabytes to whoever keeps it.
    let body = format!("{{\"compare\":[{}{{}}]}}", "{},".repeat(300_000));
    let (status, code, text) = http.post("/v3/kv/txn", body).await.refusal();
    assert_eq!((status, code, text.as_str()), (400, 3, "etcdserver: too many operations in txn request"));
}

#[tokio::test]
async fn a_large_range_arrives_whole() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let value = base64(vec![7; 10_000]);
    for number in 0..300 {
        http.call("/v3/kv/put", &json!({ "key": base64(format!("k{number:03}")), "value": value })).await;
    }
    let range = http.call("/v3/kv/range", &json!({ "key": base64("k"), "range_end": base64("l") })).await;
    let kvs = range["kvs"].as_array().unwrap();
    assert_eq!((kvs.len(), &range["count"]), (300, &json!("300")));
    assert!(kvs.iter().all(|kv| kv["value"] == value));
    assert_eq!(kvs[299]["key"], base64("k299"));
}
