//! Who did what, in a file of its own.

use std::time::Duration;

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::etcdserverpb::WatchRequest;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_tests::{Node, eventually, requests};
use tempfile::TempDir;
use tokio_stream::{self as stream, StreamExt};

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

#[tokio::test]
async fn a_line_tells_who_did_what_to_which_keys_and_no_value_or_secret() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.log");
    let node = Node::start(NODE, &[CHEAP, &format!("--audit-log={}", file.display())]).await;
    let door = Door::open(node.url()).await;
    let tokens = set_up(&door).await;
    let (root, writer) = (door.by(&tokens[0]), door.by(&tokens[2]));
    writer.put_value("w/1", "hidden-value").await.unwrap();
    writer.put_value("r/1", "hidden-value").await.unwrap_err();
    writer.range(requests::prefix("w/")).await.unwrap();
    root.add_user("late", "hidden-password").await;
    door.log_in("late", "hidden-guess").await.unwrap_err();
    let create = WatchCreateRequest { key: "r/1".into(), ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let answers = writer.watch().watch(writer.request(stream::iter([create]).chain(stream::pending()))).await;
    assert!(answers.unwrap().into_inner().next().await.unwrap().unwrap().canceled);
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually(Duration::from_secs(10), "all is written", async || read().contains(r#""what":"watch""#)).await;
    let text = read();
    for expected in [
        r#""user":"writer","what":"put","wanted":"put w/1","code":"Ok""#,
        r#""user":"writer","what":"put","wanted":"put r/1","code":"PermissionDenied","refusal":"etcdserver: permission denied""#,
        r#""user":"writer","what":"range","wanted":"read from w/ to w0","code":"Ok""#,
        r#""user":"root","what":"auth","wanted":"add user late","code":"Ok""#,
        r#""what":"auth","wanted":"grant role root to user root","code":"Ok""#,
        r#""what":"authenticate","wanted":"log in as late","code":"InvalidArgument""#,
        r#""user":"writer","what":"watch","wanted":"read r/1","code":"PermissionDenied""#,
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    assert!(!text.contains("hidden"), "{text}");
    assert!(!tokens.iter().any(|token| text.contains(token.split('.').next().unwrap())), "{text}");
    assert!(!node.log_contains("put w/1"), "the log of the server has none of it");
}
