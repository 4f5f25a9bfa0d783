//! What stands under a service's prefix and is no instance: put raw, as anybody can who has the registry.
//!
//! A watch skips such a record, counts it (`Snapshot::undecodable`), and goes on.

use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use registry_client::{Freshness, Selector, ServiceWatch, Snapshot};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest};
use registry_tests::budget::SOON;
use registry_tests::requests::{delete, key, prefix};
use registry_tests::{Client, EmbeddedNode, eventually, within};
use tonic::Code;
use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect, NoEndpoint};
use tower_layer::Layer as _;

const PREFIX: &str = "/services/pay/";

/// A record of an endpoint at `url`.
fn record(url: &str) -> String {
    format!(r#"{{"version":1,"endpoints":{{"grpc":{{"url":"{url}"}}}}}}"#)
}

fn good() -> String {
    record("http://10.0.0.7:9000")
}

/// Values that are no record of an instance.
fn broken_values() -> Vec<(&'static str, Vec<u8>)> {
    let mut text = good().into_bytes();
    text[20] = 0xff;
    let deep = format!(r#"{{"version":1,"x":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    vec![
        ("nothing", Vec::new()),
        ("no UTF-8", text),
        ("UTF-8 with a byte too many", [good().as_bytes(), b"\xc3"].concat()),
        ("a surrogate that stands alone", br#"{"version":1,"zone":"\ud800"}"#.to_vec()),
        ("no JSON", b"?".to_vec()),
        ("half of it", good().into_bytes()[..30].to_vec()),
        ("two of them", [good(), good()].concat().into_bytes()),
        ("another kind of JSON", b"[1,2,3]".to_vec()),
        ("null", b"null".to_vec()),
        ("no version", br#"{"status":"up"}"#.to_vec()),
        ("a version of text", br#"{"version":"1"}"#.to_vec()),
        ("a negative version", br#"{"version":-1}"#.to_vec()),
        ("a version that is newer", br#"{"version":2}"#.to_vec()),
        ("a version too large to hold", br#"{"version":99999999999999999999}"#.to_vec()),
        ("a field twice", br#"{"version":1,"weight":1,"weight":2}"#.to_vec()),
        ("a weight of text", br#"{"version":1,"weight":"heavy"}"#.to_vec()),
        ("a negative weight", br#"{"version":1,"weight":-1}"#.to_vec()),
        ("a weight that is no whole number", br#"{"version":1,"weight":1e999}"#.to_vec()),
        ("a status that is a number", br#"{"version":1,"status":7}"#.to_vec()),
        ("tags that are no list", br#"{"version":1,"tags":"a"}"#.to_vec()),
        ("metadata of numbers", br#"{"version":1,"metadata":{"a":1}}"#.to_vec()),
        ("endpoints that are a list", br#"{"version":1,"endpoints":[]}"#.to_vec()),
        ("an endpoint without a URL", br#"{"version":1,"endpoints":{"grpc":{}}}"#.to_vec()),
        ("an endpoint with garbage", record("http://:::").into_bytes()),
        ("an endpoint with a negative port", record("http://h:-1").into_bytes()),
        ("an endpoint that is everywhere", record("http://0.0.0.0:1").into_bytes()),
        ("JSON too deep to follow", deep.into_bytes()),
        ("a string of 1 MiB that is no record", vec![b'"'; 1 << 20]),
    ]
}

/// Ids that no instance can have.
fn broken_ids() -> Vec<&'static [u8]> {
    vec![b"", b"a/b", b"/", b"a b", b"line\n", b"\0", b"\xff\xfe", b"half \xc3", b"\x1b[31m"]
}

async fn put_raw(client: &Client, id: &[u8], value: impl Into<Bytes>) -> i64 {
    let key = [PREFIX.as_bytes(), id].concat().into();
    let answer = client.try_put(PutRequest { key, value: value.into(), ..PutRequest::default() }).await;
    answer.expect("the server stores any bytes").header.expect("every answer has a header").revision
}

async fn started(node: &EmbeddedNode) -> ServiceWatch {
    let watch = crate::settings::registry(node.url()).watch("pay").start().expect("the name is a service's");
    within(watch.synced()).await.expect("the registry is there");
    watch
}

/// Waits until the watch has seen a revision.
async fn at(watch: &ServiceWatch, revision: i64) -> Arc<Snapshot> {
    eventually(SOON, "the watch follows", async || watch.snapshot().revision() >= revision).await;
    let snapshot = watch.snapshot();
    assert_eq!((snapshot.freshness(), watch.refused()), (Freshness::Synced, None));
    snapshot
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances().iter().map(|found| found.id()).collect()
}

#[tokio::test]
async fn broken_records_are_skipped_and_counted_by_the_list_and_by_the_watch() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    put_raw(&client, b"good", good()).await;
    let follower = started(&node).await;
    let mut count = 0;
    for (what, value) in broken_values() {
        let revision = put_raw(&client, format!("bad-{count:02}").as_bytes(), value).await;
        count += 1;
        let snapshot = at(&follower, revision).await;
        assert_eq!((ids(&snapshot), snapshot.undecodable()), (vec!["good"], count), "{what}");
    }
    for id in broken_ids() {
        let revision = put_raw(&client, id, good()).await;
        count += 1;
        let snapshot = at(&follower, revision).await;
        assert_eq!((ids(&snapshot), snapshot.undecodable()), (vec!["good"], count), "{}", id.escape_ascii());
    }
    let revision = put_raw(&client, b"later", good()).await;
    let snapshot = at(&follower, revision).await;
    assert_eq!(ids(&snapshot), ["good", "later"], "it follows to the end");

    // Who lists sees what who followed sees.
    let lister = started(&node).await;
    assert_eq!((ids(&lister.snapshot()), lister.snapshot().undecodable()), (vec!["good", "later"], count));
    let gone = client.delete(registry_tests::requests::delete_prefix(PREFIX)).await.unwrap();
    let snapshot = at(&follower, gone.header.unwrap().revision).await;
    assert_eq!((snapshot.instances().len(), snapshot.undecodable()), (0, 0), "and they can be removed");
}

#[tokio::test]
async fn an_instance_whose_record_breaks_stays_as_it_was_and_comes_back() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    put_raw(&client, b"1", good()).await;
    let watch = started(&node).await;
    for (what, value) in broken_values() {
        let snapshot = at(&watch, put_raw(&client, b"1", value).await).await;
        assert_eq!(snapshot.undecodable(), 1, "{what}");
        let [instance] = snapshot.instances() else { panic!("{what}: the instance is gone") };
        assert_eq!(instance.endpoint("grpc").map(|endpoint| endpoint.port()), Some(9000), "{what}");
    }
    let snapshot = at(&watch, put_raw(&client, b"1", record("http://10.0.0.7:9001")).await).await;
    assert_eq!(snapshot.undecodable(), 0);
    assert_eq!(snapshot.instances()[0].endpoint("grpc").map(|endpoint| endpoint.port()), Some(9001));
    client.delete(delete("/services/pay/1")).await.unwrap();
    eventually(SOON, "the deletion is seen", async || watch.snapshot().instances().is_empty()).await;
}

/// Records with bits flipped and pieces cut out: each is an instance or is counted, and the watch is never lost.
#[tokio::test]
async fn a_watch_outlives_two_thousand_bent_records() {
    let node = EmbeddedNode::start_with(|config| config.unsafe_no_fsync = true).await;
    let client = node.client().await;
    let watch = started(&node).await;
    let full = r#"{"version":1,"status":"up","endpoints":{"grpc":{"url":"http://h:1","server_name":"n"}},"zone":"a",
        "app_version":"1.2","weight":7,"tags":["x"],"metadata":{"k":"v"},"new":[1,{"a":null}]}"#;
    let mut rng = Rng::with_seed(42);
    let (mut keys, mut revision) = (std::collections::BTreeSet::new(), 0);
    for _ in 0..2_000 {
        let mut value = full.as_bytes().to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..value.len());
            match rng.u8(0..3) {
                0 => value[at] ^= 1 << rng.u8(0..8),
                1 => value[at] = rng.u8(..),
                _ => drop(value.drain(at..(at + rng.usize(1..9)).min(value.len()))),
            }
        }
        let id = format!("{:03}", rng.u32(0..300));
        revision = put_raw(&client, id.as_bytes(), value).await;
        keys.insert(id);
    }
    let snapshot = at(&watch, revision).await;
    let (read, unread) = (snapshot.instances().len(), snapshot.undecodable());
    // One that became unreadable counts as both.
    assert!(read <= keys.len() && unread <= keys.len() && read + unread >= keys.len(), "{read} {unread}");
    assert!(read > 10 && unread > 10, "{read} {unread}");
    let snapshot = at(&watch, put_raw(&client, b"after", good()).await).await;
    assert!(ids(&snapshot).contains(&"after"));
}

/// A large record is one like any other: 500 of them exceed every message, and are listed in smaller pages.
#[tokio::test]
async fn large_records_are_listed_and_watched() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let large = |n: usize| format!(r#"{{"version":1,"metadata":{{"big":"{}"}}}}"#, "x".repeat((1 << 20) + n));
    for n in 0..20 {
        put_raw(&client, format!("{n:02}").as_bytes(), large(n)).await;
    }
    let watch = started(&node).await;
    assert_eq!((watch.snapshot().instances().len(), watch.snapshot().undecodable()), (20, 0));
    let snapshot = at(&watch, put_raw(&client, b"20", large(20)).await).await;
    assert_eq!(snapshot.instances().len(), 21);
    let kept = client.range(RangeRequest { keys_only: true, ..prefix(PREFIX) }).await;
    assert_eq!(kept.len(), 21);
}

/// Endpoints that can be read and not be dialled: the balancer says which and why, and uses the others.
#[tokio::test]
async fn a_balancer_names_endpoints_that_cannot_be_dialled_and_uses_the_others() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    put_raw(&client, b"ftp", record("ftp://127.0.0.1:1")).await;
    put_raw(&client, b"name", record("http://no-such-host.invalid:1")).await;
    put_raw(&client, b"broken", b"?".as_slice()).await;
    put_raw(&client, b"heavy", r#"{"version":1,"weight":4294967295,"endpoints":{"grpc":{"url":"tcp://h:1"}}}"#).await;
    let view = started(&node).await.select(Selector::endpoint("grpc"));
    let short = std::time::Duration::from_millis(500);
    let layer = DiscoveryLayer::new(view).on_no_endpoint(NoEndpoint::WaitUpTo(short));
    let channel: GrpcChannel = layer.layer(GrpcConnect::new());
    let status = within(KvClient::new(channel.clone()).range(key("a"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for word in ["\"pay\"", "3 known, 0 connected", "last failure"] {
        assert!(status.message().contains(word), "{word} is missing in {:?}", status.message());
    }
    // This very server answers as the one good instance, whose weight of 0 does not keep it from being the last.
    let good = format!(r#"{{"version":1,"weight":0,"endpoints":{{"grpc":{{"url":"{}"}}}}}}"#, node.url());
    put_raw(&client, b"good", good).await;
    let asked = async || KvClient::new(channel.clone()).range(key("/services/pay/good")).await;
    eventually(SOON, "the good one is used", async || asked().await.is_ok_and(|found| found.get_ref().count == 1))
        .await;
}
