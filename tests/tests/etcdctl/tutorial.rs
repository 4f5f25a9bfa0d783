//! The ten usages that tutorials show.

use std::io::Write;

use registry_tests::budget::SOON;
use registry_tests::etcdctl::{is_there, run, say};
use registry_tests::{Node, eventually};

use crate::NODE;
use crate::reading::Reading;

/// A node, and what its address is; none where the tool is missing.
async fn node() -> Option<Node> {
    if !is_there() {
        return None;
    }
    Some(Node::start(NODE, &[]).await)
}

/// The id in what `lease grant` prints.
fn grant(address: &str, ttl: &str) -> String {
    let said = say(address, &["lease", "grant", ttl]);
    let words: Vec<_> = said.split_whitespace().collect();
    let [_, id, "granted", "with", granted] = words[..] else { panic!("{said:?}") };
    assert_eq!(granted, format!("TTL({ttl}s)"));
    id.to_owned()
}

#[tokio::test]
async fn version_and_status() {
    let Some(node) = node().await else { return };
    let at = node.address();
    assert!(say(at, &["version"]).contains("API version: 3."));
    let status = say(at, &["endpoint", "status"]);
    let fields: Vec<_> = status.trim().split(", ").collect();
    assert_eq!((fields[0], fields[4], fields[5]), (at, "true", "false"), "{status}");
    assert!(fields[2].starts_with("3."), "{status}");
    assert!(say(at, &["member", "list"]).contains("started"));
}

#[tokio::test]
async fn put_and_get_single_value_only_range_prefix_and_limit() {
    let Some(node) = node().await else { return };
    let at = node.address();
    for n in 1..=4 {
        assert_eq!(say(at, &["put", &format!("foo{n}"), &format!("bar{n}")]), "OK\n");
    }
    assert_eq!(say(at, &["put", "foo", "bar"]), "OK\n");
    assert_eq!(say(at, &["get", "foo"]), "foo\nbar\n");
    assert_eq!(say(at, &["get", "foo", "--print-value-only"]), "bar\n");
    assert_eq!(say(at, &["get", "foo1", "foo3"]), "foo1\nbar1\nfoo2\nbar2\n");
    assert_eq!(say(at, &["get", "--prefix", "foo", "--keys-only"]), "foo\n\nfoo1\n\nfoo2\n\nfoo3\n\nfoo4\n\n");
    assert_eq!(say(at, &["get", "--prefix", "--limit=2", "foo"]), "foo\nbar\nfoo1\nbar1\n");
    assert_eq!(say(at, &["get", "none"]), "");
}

#[tokio::test]
async fn del_single_range_and_prefix() {
    let Some(node) = node().await else { return };
    let at = node.address();
    for key in ["a", "b1", "b2", "b3", "c1", "c2"] {
        say(at, &["put", key, "v"]);
    }
    assert_eq!(say(at, &["del", "a"]), "1\n");
    assert_eq!(say(at, &["del", "a"]), "0\n");
    assert_eq!(say(at, &["del", "--prev-kv", "b1", "b3"]), "2\nb1\nv\nb2\nv\n");
    assert_eq!(say(at, &["del", "--prefix", "c"]), "2\n");
    assert_eq!(say(at, &["get", "--prefix", "", "--keys-only"]), "b3\n\n");
}

#[tokio::test]
async fn watch_single_and_prefix() {
    let Some(node) = node().await else { return };
    let at = node.address();
    // From the first revision on, so that nothing depends on when the tool has connected.
    let single = Reading::start(at, &["watch", "foo", "--rev=1"]);
    let prefix = Reading::start(at, &["watch", "--prefix", "foo", "--rev=1", "--prev-kv"]);
    say(at, &["put", "foo", "bar"]);
    say(at, &["put", "foo1", "bar1"]);
    say(at, &["del", "foo"]);
    single.lines(&["PUT", "foo", "bar", "DELETE", "foo", ""]);
    prefix.lines(&["PUT", "foo", "bar", "PUT", "foo1", "bar1", "DELETE", "foo", "bar", "foo", ""]);
}

#[tokio::test]
async fn watch_interactive_with_several() {
    let Some(node) = node().await else { return };
    let at = node.address();
    let mut watching = Reading::start(at, &["watch", "-i"]);
    writeln!(watching.stdin(), "watch --rev=1 a").unwrap();
    writeln!(watching.stdin(), "watch --rev=1 b").unwrap();
    say(at, &["put", "a", "1"]);
    watching.lines(&["PUT", "a", "1"]);
    say(at, &["put", "b", "2"]);
    watching.lines(&["PUT", "b", "2"]);
}

#[tokio::test]
async fn a_lease_is_granted_and_takes_its_key_along_when_it_expires() {
    let Some(node) = node().await else { return };
    let at = node.address();
    let id = grant(at, "2");
    assert_eq!(say(at, &["put", "--lease", &id, "under", "1"]), "OK\n");
    eventually(SOON, "the key is gone", async || say(at, &["get", "under"]).is_empty()).await;
    assert_eq!(say(at, &["lease", "timetolive", &id]), format!("lease {id} already expired\n"));
}

#[tokio::test]
async fn a_lease_is_revoked() {
    let Some(node) = node().await else { return };
    let at = node.address();
    let id = grant(at, "600");
    say(at, &["put", "--lease", &id, "under", "1"]);
    assert_eq!(say(at, &["lease", "list"]), format!("found 1 leases\n{id}\n"));
    assert_eq!(say(at, &["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(say(at, &["get", "under"]), "");
}

#[tokio::test]
async fn a_lease_tells_its_time_to_live_with_and_without_keys() {
    let Some(node) = node().await else { return };
    let at = node.address();
    let id = grant(at, "500");
    for key in ["k1", "k2"] {
        say(at, &["put", "--lease", &id, key, "1"]);
    }
    let told = say(at, &["lease", "timetolive", &id]);
    assert!(told.starts_with(&format!("lease {id} granted with TTL(500s), remaining(4")), "{told}");
    let told = say(at, &["lease", "timetolive", "--keys", &id]);
    assert!(told.ends_with("attached keys([k1 k2])\n"), "{told}");
}

#[tokio::test]
async fn a_lease_is_kept_alive() {
    let Some(node) = node().await else { return };
    let at = node.address();
    let id = grant(at, "600");
    let expected = format!("lease {id} keepalived with TTL(600)\n");
    assert_eq!(say(at, &["lease", "keep-alive", "--once", &id]), expected);
}

#[tokio::test]
async fn the_keep_alive_goes_on_after_the_key_is_deleted_and_ends_with_the_revoke() {
    let Some(node) = node().await else { return };
    let at = node.address();
    // Renewed every second, a third of the TTL.
    let id = grant(at, "3");
    say(at, &["put", "--lease", &id, "instance", "1"]);
    let keep_alive = Reading::start(at, &["lease", "keep-alive", &id]);
    let renewed = format!("lease {id} keepalived with TTL(3)");
    assert_eq!(keep_alive.line(), renewed);
    assert_eq!(say(at, &["del", "instance"]), "1\n");
    keep_alive.lines(&[&renewed, &renewed, &renewed]);
    assert_eq!(say(at, &["lease", "list"]), format!("found 1 leases\n{id}\n"));
    say(at, &["lease", "revoke", &id]);
    let rest = keep_alive.to_end();
    assert_eq!(rest.last().unwrap(), &format!("lease {id} expired or revoked."));
}

#[tokio::test]
async fn a_store_without_space_is_freed_and_disarmed() {
    if !is_there() {
        return;
    }
    let node = Node::start(NODE, &["--quota-backend-bytes", "1048576"]).await;
    let at = node.address();
    assert_eq!(say(at, &["alarm", "list"]), "");
    let value = "v".repeat(100_000);
    let refused = (0..20).map(|_| run(at, &["put", "filling", &value])).find(|put| !put.status.success()).unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("etcdserver: mvcc: database space exceeded"), "{told}");
    let raised = say(at, &["alarm", "list"]);
    assert!(raised.starts_with("memberID:") && raised.trim_end().ends_with(" alarm:NOSPACE"), "{raised}");
    let revision = node.client().await.revision().await.to_string();
    say(at, &["compact", "--physical", &revision]);
    assert_eq!(say(at, &["alarm", "disarm"]), raised);
    assert_eq!(say(at, &["alarm", "list"]), "");
    assert_eq!(say(at, &["put", "filling", "1"]), "OK\n");
}
