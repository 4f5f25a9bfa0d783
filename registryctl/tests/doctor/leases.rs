//! Leases that hold no key.

use crate::kit::{Node, doctor, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_without_a_key_is_named_and_one_with_a_key_is_not() {
    let node = Node::start().await;
    let grant = async || say(node.url(), &["lease", "grant", "600"]).await.split(' ').nth(1).unwrap().to_owned();
    let (used, orphan) = (grant().await, grant().await);
    say(node.url(), &["put", "--lease", &used, "a", "b"]).await;
    let found = doctor(node.url(), &[]).await;
    let revoke = format!("lease revoke {orphan}");
    found.expect("lease", "warning cluster", &["of 2, 1 hold no key", &orphan, &revoke]);
    assert!(!found.of("lease")[0].contains(&used) && found.code == 0, "{found:?}");
    say(node.url(), &["lease", "revoke", &orphan]).await;
    doctor(node.url(), &[]).await.expect("lease", "ok cluster", &["each holds a key"]);
    node.stop().await;
}
