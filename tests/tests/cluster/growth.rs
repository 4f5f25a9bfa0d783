//! A cluster that grows and loses its leader for good, all of it under load: nothing is lost or repeated.

use crate::load::Load;
use crate::{settings, start};

/// Writes between two changes.
const WRITES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_grows_and_loses_its_leader_loses_nothing_and_repeats_nothing() {
    let Some(mut cluster) = start(1).await else { return };
    let mut random = settings::random();
    let members = [0, cluster.enroll(), cluster.enroll()];
    // Clients know of all, and go elsewhere where nobody answers.
    let clients = members.map(|member| cluster.client(member));
    let mut load = Load::on_changing(&clients, &mut random);
    let mut working = load.start_with(&clients, &mut random);
    load.wait_for_writes(WRITES, &mut working).await;
    for member in &members[1..] {
        cluster.add_and_start(0, *member).await;
        load.wait_for_writes(WRITES, &mut working).await;
    }
    working.end().await;
    load.check(&cluster).await;

    let mut working = load.start_with(&clients, &mut random);
    load.wait_for_writes(WRITES, &mut working).await;
    let leader = cluster.wait_for_leader().await;
    cluster.remove(leader, leader).await.expect("the leader is removed");
    cluster.wait_until_it_ends(leader).await;
    load.wait_for_writes(WRITES, &mut working).await;
    working.end().await;
    load.check_all(&cluster).await;
    load.assert_it_was_much();
    println!("grown to three and shrunk to two: {}", load.summary());
}

/// Its flags still say that it is alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_founder_of_a_grown_cluster_comes_back_to_it() {
    let Some(mut cluster) = start(1).await else { return };
    let new = cluster.enroll();
    cluster.add_and_start(0, new).await;
    cluster.client(new).put("a", "1").await;
    cluster.kill(0);
    cluster.restart(0).await;
    cluster.client(0).put("a", "2").await;
    cluster.kill(0);
    cluster.kill(new);
    cluster.spawn(0);
    cluster.restart(new).await;
    cluster.wait_until_it_serves(0).await;
    let revision = cluster.client(0).revision().await;
    assert_eq!(cluster.client(new).value("a").await.expect("the key is there"), "2");
    cluster.assert_equal_hashes(revision).await;
}
