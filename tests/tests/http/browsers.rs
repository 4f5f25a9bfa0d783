//! Pages of other origins, and names of this host that are not its own.

use http::Method;
use registry_server::http::{Hosts, Origins};
use registry_tests::EmbeddedNode;
use serde_json::json;

use super::kit::{Http, base64};

const PAGE: &str = "http://page.example";
const ALLOWED: &str = "access-control-allow-origin";

/// What the answer to a page's request lets it read; none if its browser keeps the answer from it.
async fn readable(http: &mut Http, path: &str, origin: &str) -> Option<String> {
    let headers = [("origin", origin), ("content-type", "application/json")];
    let answer = http.ask(Method::POST, path, &headers, json!({ "key": base64("a") }).to_string()).await;
    answer.headers.get(ALLOWED).map(|origin| origin.to_str().expect("origins are text").to_owned())
}

/// Whether a browser that asks first is told to go on.
async fn is_asked_well(http: &mut Http, origin: &str) -> bool {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,authorization"),
    ];
    let answer = http.ask(Method::OPTIONS, "/v3/kv/range", &headers, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    let Some(allowed) = answer.headers.get(ALLOWED) else { return false };
    assert_eq!(answer.headers["access-control-allow-methods"], "POST, GET, OPTIONS, PUT, DELETE");
    assert_eq!(answer.headers["access-control-allow-headers"], "accept, content-type, authorization");
    allowed == origin || allowed == "*"
}

#[tokio::test]
async fn pages_read_what_cors_lets_them() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    assert_eq!(readable(&mut http, "/v3/kv/range", PAGE).await.as_deref(), Some("*"));
    assert!(is_asked_well(&mut http, PAGE).await);

    let node = EmbeddedNode::start_with(|config| config.http.cors = Origins::parse(PAGE).unwrap()).await;
    let mut http = Http::connect(node.url()).await;
    for path in ["/v3/kv/range", "/v3/kv/put", "/v3/none", "/metrics", "/none"] {
        assert_eq!(readable(&mut http, path, PAGE).await.as_deref(), Some(PAGE), "{path}");
        assert_eq!(readable(&mut http, path, "http://other.example").await, None, "{path}");
    }
    assert!(is_asked_well(&mut http, PAGE).await);
    assert!(!is_asked_well(&mut http, "http://other.example").await);
}

#[tokio::test]
async fn a_name_that_is_not_this_hosts_is_refused() {
    let node = EmbeddedNode::start_with(|config| config.http.host_whitelist = Hosts::parse("127.0.0.1")).await;
    let mut http = Http::connect(node.url()).await;
    for path in ["/version", "/health", "/v3/maintenance/status"] {
        let answer = http.ask(Method::GET, path, &[("host", "rebound.example:2379")], "").await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.text.contains("--host-whitelist \"rebound.example\""), "{}", answer.text);
    }
    assert_eq!(http.ask(Method::GET, "/version", &[], "").await.status, 200);
    http.call("/v3/maintenance/status", &json!({})).await;
    // gRPC clients name what they like.
    let client = node.client().await;
    client.put("a", "1").await;
}
