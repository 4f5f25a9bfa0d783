//! Members with a network of their own each, between which the kernel drops packets: nobody is told that a connection
//! is gone.

use registry_tests::{Cluster, Plan, is_inside, run_inside};

use crate::load::Load;
use crate::one_way::{Paths, WINDOW, cut_once};
use crate::partitions::isolate_one;
use crate::{Alone, TURN, settings, start_as};

/// The cluster, inside; outside none, once the test has run inside.
async fn start(test: &'static str) -> Option<Alone> {
    if is_inside() {
        return start_as(|program| {
            let flags = if program.is_registry() { Vec::new() } else { vec!["--pre-vote=true"] };
            Plan::new(program, 3).with_namespaces().with_flags(&flags)
        })
        .await;
    }
    let _turn = TURN.lock().await;
    let ended = tokio::task::spawn_blocking(move || run_inside(test)).await.expect("it does not panic");
    assert!(ended.is_none_or(|status| status.success()), "inside: {ended:?}");
    None
}

/// All paths between a member and the others.
fn around(cluster: &Cluster, member: usize) -> Paths {
    cluster.others(member).into_iter().flat_map(|other| [(member, other), (other, member)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_packets_are_lost_acknowledges_nothing_and_comes_back() {
    let test = "namespaces::a_member_whose_packets_are_lost_acknowledges_nothing_and_comes_back";
    let Some(cluster) = start(test).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    let isolate = |member| around(&cluster, member).iter().for_each(|(from, to)| cluster.namespaces().cut(*from, *to));
    let heal = |member| around(&cluster, member).iter().for_each(|(from, to)| cluster.namespaces().mend(*from, *to));
    for is_the_leader in [true, false] {
        let told = isolate_one(&cluster, &mut load, &mut random, is_the_leader, (isolate, heal)).await;
        println!("packets are lost: {told}");
    }
    load.check_all(&cluster).await;
    println!("{}", load.summary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_are_lost_in_one_direction_end_in_progress_and_in_few_terms() {
    let test = "namespaces::packets_that_are_lost_in_one_direction_end_in_progress_and_in_few_terms";
    let Some(cluster) = start(test).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    type Choice = fn(&Cluster, usize) -> Paths;
    let ways: [(&str, Choice); 3] = [
        ("deaf follower", |cluster, leader| vec![(leader, cluster.others(leader)[0])]),
        ("mute leader", |cluster, leader| cluster.others(leader).into_iter().map(|to| (leader, to)).collect()),
        ("deaf leader", |cluster, leader| cluster.others(leader).into_iter().map(|from| (from, leader)).collect()),
    ];
    for (name, paths) in ways {
        let cut = |from, to| cluster.namespaces().cut(from, to);
        let heal = |paths: &Paths| paths.iter().for_each(|(from, to)| cluster.namespaces().mend(*from, *to));
        let told = cut_once(&cluster, &mut load, &mut random, (paths, WINDOW), (cut, heal)).await;
        println!("{name}: {told}");
    }
    load.check_all(&cluster).await;
}
