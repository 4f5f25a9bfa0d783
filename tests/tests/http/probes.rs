//! What probes and people ask a real node.

use http::Method;
use registry_tests::EmbeddedNode;
use serde_json::Value;

use super::kit::Http;

#[tokio::test]
async fn the_variables_tell_how_raft_stands() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let answer = http.ask(Method::GET, "/debug/vars", &[], "").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"application/json; charset=utf-8".parse().unwrap())
    );
    let vars: Value = serde_json::from_str(&answer.text).unwrap();
    let raft = &vars["raft.status"];
    assert_eq!((&raft["raftState"], &raft["term"]), (&"StateLeader".into(), &1.into()));
    assert_eq!(raft["id"], raft["lead"]);
    assert!(raft["applied"].as_u64().unwrap() > 0, "{raft}");
}

#[tokio::test]
async fn the_checks_of_a_node_are_in_its_metrics() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let ready = http.ask(Method::GET, "/readyz", &[], "").await;
    assert_eq!((ready.text.as_str(), &ready.headers["x-content-type-options"]), ("ok\n", &"nosniff".parse().unwrap()));
    assert_eq!(http.ask(Method::GET, "/health", &[], "").await.text, r#"{"health":"true","reason":""}"#);
    let metrics = http.ask(Method::GET, "/metrics", &[], "").await.text;
    for line in ["etcd_server_health_success 1", r#"etcd_server_healthcheck{name="linearizable_read",type="readyz"} 1"#]
    {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn each_check_has_a_path_of_its_own() {
    let node = EmbeddedNode::start().await;
    let mut http = Http::connect(node.url()).await;
    let ready = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];
    let paths = ready.map(|check| format!("/readyz/{check}"));
    for path in paths.iter().map(String::as_str).chain(["/livez", "/livez/serializable_read", "/readyz"]) {
        let answer = http.ask(Method::GET, path, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ok\n"), "{path}");
    }
    for path in ["/livez/linearizable_read", "/readyz/nothing"] {
        assert_eq!(http.ask(Method::GET, path, &[], "").await.status, 404, "{path}");
    }
}
