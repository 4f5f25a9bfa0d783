//! Locks and elections in a cluster of three, through all its members.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry_proto::v3lockpb::LockRequest;
use registry_tests::budget::SOON;
use registry_tests::{Cluster, Plan, Program, eventually, refusal, within};
use tokio::task::JoinSet;
use tonic::{Code, Request};

use crate::Queues;

const NODE: &str = env!("CARGO_BIN_EXE_node");

async fn three() -> (Cluster, Vec<Queues>) {
    let cluster = Cluster::start(Plan::new(Program::Registry(NODE.into()), 3)).await;
    let mut queues = Vec::new();
    for member in 0..3 {
        queues.push(Queues::connect(&cluster.url(member)).await);
    }
    (cluster, queues)
}

#[tokio::test]
async fn contenders_at_all_members_hold_a_lock_one_at_a_time() {
    let (_cluster, queues) = three().await;
    let holders = Arc::new(AtomicUsize::new(0));
    let mut contenders = JoinSet::new();
    for contender in 0..30 {
        let (queues, holders) = (queues[contender % 3].clone(), holders.clone());
        contenders.spawn(async move {
            let key = queues.lock("one", 0).await.unwrap();
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
            tokio::task::yield_now().await;
            holders.fetch_sub(1, Ordering::SeqCst);
            queues.unlock(key).await;
        });
    }
    within(contenders.join_all()).await;
}

#[tokio::test]
async fn a_turn_that_is_waited_for_at_a_follower_comes_while_leaders_change() {
    let (mut cluster, queues) = three().await;
    let leader = cluster.wait_for_leader().await;
    let follower = cluster.others(leader)[0];
    for lease in 1..=3 {
        queues[follower].client.grant(lease, 600).await.unwrap();
    }
    let held = queues[leader].lock("turn", 1).await.unwrap();
    let second = queues[follower].waiting_for_lock("turn", 2, 2).await;
    let third = queues[follower].waiting_for_lock("turn", 3, 3).await;
    cluster.kill(leader);
    cluster.wait_for_leader_of(&cluster.others(leader)).await;
    third.abort();
    eventually(SOON, "who gave up is gone", async || queues[follower].line("turn").await.len() == 2).await;
    queues[follower].unlock(held).await;
    assert_eq!(within(second).await.unwrap().unwrap(), "turn/2");
}

#[tokio::test]
async fn who_wants_a_leader_is_told_when_it_is_lost_and_everybody_else_waits_on() {
    let (mut cluster, queues) = three().await;
    let leader = cluster.wait_for_leader().await;
    let follower = cluster.others(leader)[0];
    for lease in 1..=3 {
        queues[follower].client.grant(lease, 600).await.unwrap();
    }
    queues[follower].lock("lost", 1).await.unwrap();
    let patient = queues[follower].waiting_for_lock("lost", 2, 2).await;
    let mut request = Request::new(LockRequest { name: "lost".into(), lease: 3 });
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let mut client = queues[follower].lock.clone();
    let asking = tokio::spawn(async move { client.lock(request).await });
    queues[follower].wait_for_line("lost", 3).await;
    cluster.others(follower).into_iter().for_each(|other| cluster.kill(other));
    let told = refusal(within(asking).await.unwrap());
    assert_eq!(told, (Code::Unavailable, "etcdserver: no leader".to_owned()));
    assert!(!patient.is_finished());
    for other in cluster.others(follower) {
        cluster.spawn(other);
    }
    cluster.wait_for_leader_of(&[0, 1, 2]).await;
    // Who was told has given its place up, as soon as there was somebody to take that.
    queues[follower].wait_for_line("lost", 2).await;
    queues[follower].unlock("lost/1".into()).await;
    assert_eq!(within(patient).await.unwrap().unwrap(), "lost/2");
}
