//! Tokens that carry their user.

use std::path::Path;

use registry_tests::{Cluster, Node, Plan, Program, refusal, requests};
use tempfile::TempDir;
use tonic::Code;

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// A key, and the flag that has tokens signed with it.
fn flag(dir: &Path) -> String {
    let pair = rcgen::KeyPair::generate().expect("keys can be made");
    let (private, public) = (dir.join("private.pem"), dir.join("public.pem"));
    std::fs::write(&private, pair.serialize_pem()).expect("it is written");
    std::fs::write(&public, pair.public_key_pem()).expect("it is written");
    format!("--auth-token=jwt,sign-method=ES256,pub-key={},priv-key={},ttl=5m", public.display(), private.display())
}

#[tokio::test]
async fn a_signed_token_survives_a_restart_and_not_a_change_of_users() {
    let keys = TempDir::new().unwrap();
    let mut node = Node::start(NODE, &[CHEAP, &flag(keys.path())]).await;
    let door = Door::open(node.url()).await;
    let tokens = set_up(&door).await;
    door.by(&tokens[2]).put_value("w/1", "v").await.unwrap();
    node.restart().await;
    let door = Door::open(node.url()).await;
    let (root, writer) = (door.by(&tokens[0]), door.by(&tokens[2]));
    writer.put_value("w/1", "v").await.unwrap();
    assert_eq!(refusal(writer.put_value("r/1", "v").await).0, Code::PermissionDenied);
    root.add_user("another", "p").await;
    let old = (Code::InvalidArgument, "etcdserver: revision of auth store is old".to_owned());
    assert_eq!(refusal(writer.put_value("w/1", "v").await), old);
    let writer = door.by(&door.log_in("writer", "writer").await.unwrap());
    writer.put_value("w/1", "v").await.unwrap();
}

#[tokio::test]
async fn a_token_signed_by_somebody_else_is_none() {
    let (own, others) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (node, other) =
        (Node::start(NODE, &[CHEAP, &flag(own.path())]).await, Node::start(NODE, &[CHEAP, &flag(others.path())]).await);
    let (door, stranger) = (Door::open(node.url()).await, Door::open(other.url()).await);
    set_up(&door).await;
    let foreign = set_up(&stranger).await;
    let answer = door.by(&foreign[0]).put_value("k", "v").await;
    assert_eq!(refusal(answer), (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned()));
}

#[tokio::test]
async fn members_with_the_same_key_take_each_others_tokens() {
    let keys = TempDir::new().unwrap();
    let plan = Plan::new(Program::Registry(NODE.into()), 3).with_flags(&[CHEAP, &flag(keys.path())]);
    let cluster = Cluster::start(plan).await;
    let leader = cluster.wait_for_leader().await;
    let tokens = set_up(&Door::open(&cluster.url(leader)).await).await;
    let follower = Door::open(&cluster.url(cluster.others(leader)[0])).await;
    follower.by(&tokens[1]).range(requests::key("r/1")).await.unwrap();
}
