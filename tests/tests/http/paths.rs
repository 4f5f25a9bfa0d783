//! Every path of etcd's gateway, with what it answers.

use http::Method;
use registry_tests::EmbeddedNode;
use serde_json::json;

use super::kit::{Http, base64};

/// The unary paths that the other tests here do not walk, and the methods behind them. Whatever a service says to an
/// empty request, the gateway says too.
#[rustfmt::skip]
const OTHERS: [(&str, &str); 25] = [
    ("/v3/maintenance/hash", "/etcdserverpb.Maintenance/Hash"),
    ("/v3/maintenance/defragment", "/etcdserverpb.Maintenance/Defragment"),
    ("/v3/maintenance/transfer-leadership", "/etcdserverpb.Maintenance/MoveLeader"),
    ("/v3/maintenance/downgrade", "/etcdserverpb.Maintenance/Downgrade"),
    ("/v3/auth/enable", "/etcdserverpb.Auth/AuthEnable"),
    ("/v3/auth/disable", "/etcdserverpb.Auth/AuthDisable"),
    ("/v3/auth/status", "/etcdserverpb.Auth/AuthStatus"),
    ("/v3/auth/authenticate", "/etcdserverpb.Auth/Authenticate"),
    ("/v3/auth/user/add", "/etcdserverpb.Auth/UserAdd"),
    ("/v3/auth/user/get", "/etcdserverpb.Auth/UserGet"),
    ("/v3/auth/user/list", "/etcdserverpb.Auth/UserList"),
    ("/v3/auth/user/delete", "/etcdserverpb.Auth/UserDelete"),
    ("/v3/auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword"),
    ("/v3/auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"),
    ("/v3/auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"),
    ("/v3/auth/role/add", "/etcdserverpb.Auth/RoleAdd"),
    ("/v3/auth/role/get", "/etcdserverpb.Auth/RoleGet"),
    ("/v3/auth/role/list", "/etcdserverpb.Auth/RoleList"),
    ("/v3/auth/role/delete", "/etcdserverpb.Auth/RoleDelete"),
    ("/v3/auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"),
    ("/v3/auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission"),
    ("/v3/lock/unlock", "/v3lockpb.Lock/Unlock"),
    ("/v3/election/proclaim", "/v3electionpb.Election/Proclaim"),
    ("/v3/election/leader", "/v3electionpb.Election/Leader"),
    ("/v3/election/resign", "/v3electionpb.Election/Resign"),
];

/// A node that members can be added to.
async fn node() -> EmbeddedNode {
    let anywhere = vec!["http://127.0.0.1:0".parse().expect("it is a URL")];
    EmbeddedNode::start_with(|config| config.listen_peer_urls = anywhere).await
}

#[tokio::test]
async fn keys_are_written_and_read() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    let put = http.call("/v3/kv/put", &json!({ "key": base64("a"), "value": base64("1") })).await;
    assert_eq!(put["header"]["revision"], "2");
    for field in ["cluster_id", "member_id", "raft_term"] {
        let text = put["header"][field].as_str().unwrap_or_else(|| panic!("{field} is no text in {put}"));
        text.parse::<u64>().unwrap();
    }
    let put = http.call("/v3/kv/put", &json!({ "key": base64("a"), "value": base64("2"), "prev_kv": true })).await;
    assert_eq!(put["prev_kv"]["value"], base64("1"));
    let range = http.call("/v3/kv/range", &json!({ "key": base64("a") })).await;
    let kv = json!({
        "key": base64("a"), "create_revision": "2", "mod_revision": "3", "version": "2", "value": base64("2"),
    });
    assert_eq!((&range["kvs"], &range["count"]), (&json!([kv]), &json!("1")));
    assert!(range.get("more").is_none(), "what is not set is left out: {range}");

    let txn = json!({
        "compare": [{ "key": base64("a"), "target": "VERSION", "result": "EQUAL", "version": "2" }],
        "success": [{ "request_put": { "key": base64("b"), "value": base64("3") } }, { "request_range": { "key": base64("b") } }],
        "failure": [{ "request_delete_range": { "key": base64("a") } }],
    });
    let txn = http.call("/v3/kv/txn", &txn).await;
    assert_eq!(txn["succeeded"], true);
    assert_eq!(txn["responses"][1]["response_range"]["kvs"][0]["value"], base64("3"));
    let delete = http.call("/v3/kv/deleterange", &json!({ "key": base64("b"), "prev_kv": true })).await;
    assert_eq!((&delete["deleted"], &delete["prev_kvs"][0]["key"]), (&json!("1"), &json!(base64("b"))));
    let compaction = http.call("/v3/kv/compaction", &json!({ "revision": "4", "physical": true })).await;
    assert_eq!(compaction["header"]["revision"], "5");
    let range = http.post("/v3/kv/range", json!({ "key": base64("a"), "revision": "2" }).to_string()).await;
    assert_eq!(range.refusal(), (400, 11, "etcdserver: mvcc: required revision has been compacted".to_owned()));
}

#[tokio::test]
async fn leases_are_granted_and_revoked_under_both_names() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    for root in ["/v3/lease", "/v3/kv/lease"] {
        let grant = http.call("/v3/lease/grant", &json!({ "TTL": "600", "ID": "7" })).await;
        assert_eq!((&grant["ID"], &grant["TTL"]), (&json!("7"), &json!("600")));
        http.call("/v3/kv/put", &json!({ "key": base64("a"), "lease": 7 })).await;
        let left = http.call(&format!("{root}/timetolive"), &json!({ "ID": "7", "keys": true })).await;
        assert_eq!((&left["grantedTTL"], &left["keys"]), (&json!("600"), &json!([base64("a")])));
        let leases = http.call(&format!("{root}/leases"), &json!({})).await;
        assert_eq!(leases["leases"], json!([{ "ID": "7" }]));
        http.call(&format!("{root}/revoke"), &json!({ "ID": "7" })).await;
        let again = http.post(&format!("{root}/revoke"), r#"{"ID":"7"}"#).await;
        assert_eq!(again.refusal(), (404, 5, "etcdserver: requested lease not found".to_owned()));
    }
}

#[tokio::test]
async fn the_member_tells_of_itself_and_its_cluster() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    let status = http.call("/v3/maintenance/status", &json!({})).await;
    assert_eq!(status["version"], "3.7.1");
    assert!(
        status["dbSize"].is_string() && status["raftIndex"].is_string() && status["leader"].is_string(),
        "{status}"
    );
    http.call("/v3/kv/put", &json!({ "key": base64("a") })).await;
    let hash = http.call("/v3/maintenance/hashkv", &json!({})).await;
    assert!(hash["hash"].is_u64() && hash["header"].is_object(), "{hash}");
    let raised = json!({ "action": "ACTIVATE", "alarm": "NOSPACE", "memberID": status["header"]["member_id"] });
    let alarm = http.call("/v3/maintenance/alarm", &raised).await;
    assert_eq!(alarm["alarms"][0]["alarm"], "NOSPACE");
    // By its number, too.
    http.call("/v3/maintenance/alarm", &json!({ "action": 2, "alarm": 1, "memberID": status["header"]["member_id"] }))
        .await;
    assert!(http.call("/v3/maintenance/alarm", &json!({ "action": "GET" })).await.get("alarms").is_none());

    let list = http.call("/v3/cluster/member/list", &json!({ "linearizable": true })).await;
    let own = &list["members"][0];
    assert_eq!(own["ID"], status["header"]["member_id"]);
    assert!(own["peerURLs"][0].is_string() && own["clientURLs"][0].is_string(), "{own}");
    let urls = json!({ "peerURLs": ["http://127.0.0.1:9"], "isLearner": true });
    let added = http.call("/v3/cluster/member/add", &urls).await;
    let id = &added["member"]["ID"];
    assert_eq!((&added["member"]["isLearner"], added["members"].as_array().unwrap().len()), (&json!(true), 2));
    http.call("/v3/cluster/member/update", &json!({ "ID": id, "peerURLs": ["http://127.0.0.1:10"] })).await;
    let promoted = http.post("/v3/cluster/member/promote", json!({ "ID": id }).to_string()).await;
    let text = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(promoted.refusal(), (400, 9, text.to_owned()));
    let left = http.call("/v3/cluster/member/remove", &json!({ "ID": id })).await;
    assert_eq!(left["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_grpc_says_the_gateway_says() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    let mut grpc = Http::connect2(node.url()).await;
    for (path, method) in OTHERS {
        let (code, text) = grpc.grpc(method).await;
        let answer = http.post(path, "{}").await;
        if code == 0 {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        } else {
            let (_, found, message) = answer.refusal();
            assert_eq!((found, message), (code, text), "{path}");
        }
    }
}

#[tokio::test]
async fn a_path_is_a_post_and_others_are_not_found() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = http.ask(method, "/v3/kv/range", &[], "").await;
        assert_eq!(answer.refusal(), (501, 12, "Method Not Allowed".to_owned()));
    }
    for path in ["/v3/kv/range/", "/v3/kv", "/v3/", "/v3/kv/rangestream", "/v3/KV/range"] {
        let answer = http.post(path, "{}").await;
        assert_eq!(answer.refusal(), (404, 5, "Not Found".to_owned()), "{path}");
    }
    // The older root, as in etcd.
    assert_eq!(http.post("/v3beta/maintenance/status", "{}").await.status, 200);
    assert_eq!(http.post("/v3alpha/maintenance/status", "{}").await.text, "404 page not found\n");
}

#[tokio::test]
async fn the_same_is_served_over_http2() {
    let node = node().await;
    let mut http = Http::connect2(node.url()).await;
    http.call("/v3/kv/put", &json!({ "key": base64("a"), "value": base64("1") })).await;
    let range = http.call("/v3/kv/range", &json!({ "key": base64("a") })).await;
    assert_eq!(range["kvs"][0]["value"], base64("1"));
}

#[tokio::test]
async fn without_the_gateway_its_paths_are_not_found() {
    let node = EmbeddedNode::start_with(|config| config.http.gateway = false).await;
    let mut http = Http::connect(node.url()).await;
    let answer = http.post("/v3/kv/range", "{}").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, "404 page not found\n"));
    assert_eq!(http.ask(Method::GET, "/version", &[], "").await.status, 200);
}

#[tokio::test]
async fn locks_and_elections_are_taken_and_given_back() {
    let node = node().await;
    let mut http = Http::connect(node.url()).await;
    let name = base64("n");
    let lock = http.call("/v3/lock/lock", &json!({ "name": name })).await;
    http.call("/v3/lock/unlock", &json!({ "key": lock["key"] })).await;
    let won = http.call("/v3/election/campaign", &json!({ "name": name, "value": base64("1") })).await;
    let leader = http.call("/v3/election/leader", &json!({ "name": name })).await;
    assert_eq!((&leader["kv"]["key"], &leader["kv"]["value"]), (&won["leader"]["key"], &json!(base64("1"))));
    let mut observing = Http::connect(node.url()).await;
    let mut seen = observing.stream("/v3/election/observe", &[], &json!({ "name": name }).to_string()).await;
    assert_eq!(seen.result().await["kv"]["value"], base64("1"));
    http.call("/v3/election/proclaim", &json!({ "leader": won["leader"], "value": base64("2") })).await;
    assert_eq!(seen.result().await["kv"]["value"], base64("2"));
    http.call("/v3/election/resign", &json!({ "leader": won["leader"] })).await;
    assert_eq!(http.post("/v3/election/leader", json!({ "name": name }).to_string()).await.refusal().1, 2);
}

#[tokio::test]
async fn a_token_from_a_login_goes_into_the_header_authorization() {
    let node = EmbeddedNode::start_with(|config| config.auth.bcrypt_cost = 4).await;
    let mut http = Http::connect(node.url()).await;
    http.call("/v3/auth/user/add", &json!({ "name": "root", "password": "p" })).await;
    http.call("/v3/auth/user/grant", &json!({ "user": "root", "role": "root" })).await;
    http.call("/v3/auth/enable", &json!({})).await;
    let login = http.call("/v3/auth/authenticate", &json!({ "name": "root", "password": "p" })).await;
    let token = login["token"].as_str().expect("a token is text").to_owned();
    let put = json!({ "key": base64("a"), "value": base64("1") }).to_string();
    let nobody = http.post("/v3/kv/put", put.clone()).await;
    assert_eq!(nobody.refusal(), (400, 3, "etcdserver: user name is empty".to_owned()));
    let root = http.ask(Method::POST, "/v3/kv/put", &[("authorization", &token)], put.clone()).await;
    assert_eq!(root.status, 200, "{root:?}");
    let ended = http.ask(Method::POST, "/v3/kv/put", &[("authorization", "ended.1")], put).await;
    assert_eq!(ended.refusal(), (401, 16, "etcdserver: invalid auth token".to_owned()));
}
