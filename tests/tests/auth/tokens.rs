//! Tokens: how they end, that every member knows them, and what is left of users after a restart.

use std::time::Duration;

use registry_proto::etcdserverpb::*;
use registry_tests::{Cluster, Node, Plan, Program, eventually, refusal, requests};
use tonic::Code;

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

fn ended() -> (Code, String) {
    (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned())
}

#[tokio::test]
async fn a_token_that_nobody_shows_ends_after_its_ttl() {
    let node = Node::start(NODE, &[CHEAP, "--auth-token-ttl=1"]).await;
    let door = Door::open(node.url()).await;
    set_up(&door).await;
    let shown = door.by(&door.log_in("root", "root").await.unwrap());
    let idle = door.by(&door.log_in("root", "root").await.unwrap());
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        shown.put_value("k", "v").await.expect("it is shown all the time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(refusal(idle.put_value("k", "v").await), ended());
}

#[tokio::test]
async fn tokens_end_with_the_password_and_with_the_user() {
    let node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let [root, reader, writer, _] = set_up(&door).await.map(|token| door.by(&token));
    let request = AuthUserChangePasswordRequest { name: "reader".into(), password: "new".into(), ..Default::default() };
    root.auth().user_change_password(root.request(request)).await.unwrap();
    assert_eq!(refusal(reader.range(requests::key("r/1")).await), ended());
    assert_eq!(refusal(door.log_in("reader", "reader").await).0, Code::InvalidArgument);
    let again = door.by(&door.log_in("reader", "new").await.unwrap());
    again.range(requests::key("r/1")).await.unwrap();
    let request = AuthUserDeleteRequest { name: "writer".into() };
    root.auth().user_delete(root.request(request)).await.unwrap();
    assert_eq!(refusal(writer.put_value("w/1", "v").await), ended());
}

#[tokio::test]
async fn users_survive_a_restart_and_tokens_do_not() {
    let mut node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let tokens = set_up(&door).await;
    door.by(&tokens[2]).put_value("w/1", "v").await.unwrap();
    node.restart().await;
    let door = Door::open(node.url()).await;
    assert_eq!(refusal(door.by(&tokens[2]).put_value("w/1", "v").await), ended());
    let writer = door.by(&door.log_in("writer", "writer").await.unwrap());
    writer.put_value("w/1", "v").await.unwrap();
    assert_eq!(refusal(writer.put_value("r/1", "v").await).0, Code::PermissionDenied);
}

#[tokio::test]
async fn a_token_counts_on_every_member_from_the_moment_it_is_given() {
    let plan = Plan::new(Program::Registry(NODE.into()), 3).with_flags(&[CHEAP, "--snapshot-log-bytes=100000"]);
    let mut cluster = Cluster::start(plan).await;
    let leader = cluster.wait_for_leader().await;
    let others = cluster.others(leader);
    let door = Door::open(&cluster.url(leader)).await;
    set_up(&door).await;
    let follower = Door::open(&cluster.url(others[0])).await;
    for _ in 0..20 {
        let token = door.log_in("writer", "writer").await.unwrap();
        follower.by(&token).put_value("w/1", "v").await.expect("the follower knows the token");
    }
    // One that was away learns of users from the log or from a snapshot.
    cluster.kill(others[1]);
    let writer = door.by(&door.log_in("writer", "writer").await.unwrap());
    for number in 0..40 {
        writer.put_value(&format!("w/{number}"), &"v".repeat(10_000)).await.unwrap();
    }
    cluster.spawn(others[1]);
    // The kit would ask whether it serves, and nobody is answered.
    let is_ready = |line: &String| line.contains("ready to serve client requests");
    let cluster = &cluster;
    eventually(Duration::from_secs(20), "it serves again", async || {
        cluster.log(others[1]).iter().filter(|line| is_ready(line)).count() == 2
    })
    .await;
    let late = Door::open(&cluster.url(others[1])).await;
    assert_eq!(refusal(late.put_value("w/1", "v").await).0, Code::InvalidArgument);
    eventually(Duration::from_secs(20), "it takes logins", async || late.log_in("reader", "reader").await.is_ok())
        .await;
    let reader = late.by(&late.log_in("reader", "reader").await.unwrap());
    reader.range(requests::key("r/1")).await.unwrap();
    assert_eq!(refusal(reader.range(requests::key("w/1")).await).0, Code::PermissionDenied);
}
