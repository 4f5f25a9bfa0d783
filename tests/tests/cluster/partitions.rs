//! A member that is cut off from the others: it acknowledges nothing, the others go on, and after healing all
//! are of one mind.

use registry_tests::{Cluster, Cut};

use crate::load::Load;
use crate::{settings, start_with_proxies};

/// Writes of the majority while a member is cut off, and after healing.
const WRITES: usize = 100;

/// Isolates a member in each way, under load through all members and through that one alone.
#[expect(clippy::print_stdout, reason = "a failure shows it")]
async fn isolate_in_each_way(is_the_leader: bool) {
    let Some(cluster) = start_with_proxies().await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    for how in [Cut::Hold, Cut::Swallow, Cut::Reset] {
        let isolate = |member| cluster.network().isolate(member, how);
        let heal = |member| cluster.network().heal(member);
        let told = isolate_one(&cluster, &mut load, &mut random, is_the_leader, (isolate, heal)).await;
        println!("{how:?}: {told}");
    }
    load.check_all(&cluster).await;
    load.assert_it_was_much();
    println!("{}", load.summary());
}

/// Isolates a member once, and heals it; says who it was.
pub(crate) async fn isolate_one(
    cluster: &Cluster,
    load: &mut Load,
    random: &mut fastrand::Rng,
    is_the_leader: bool,
    (isolate, heal): (impl Fn(usize), impl Fn(usize)),
) -> String {
    let mut clients = load.start(cluster, random);
    load.wait_for_writes(WRITES, &mut clients).await;
    let leader = cluster.wait_for_leader().await;
    let isolated = if is_the_leader { leader } else { cluster.others(leader)[random.usize(..2)] };

    isolate(isolated);
    let minority = load.start_with(&[cluster.client(isolated)], random);
    let leads_now = cluster.wait_for_leader_of(&cluster.others(isolated)).await;
    load.wait_for_writes(WRITES, &mut clients).await;
    minority.wait_for_failures().await;
    assert_eq!(minority.writes(), 0, "a minority has acknowledged writes");

    heal(isolated);
    minority.wait_for_an_answer().await;
    load.wait_for_writes(WRITES, &mut clients).await;
    minority.end().await;
    clients.end().await;
    load.check(cluster).await;
    format!("member {isolated} was cut off, {leader} led before and {leads_now} meanwhile")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_acknowledges_nothing_and_nothing_is_lost_or_invented() {
    isolate_in_each_way(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_acknowledges_nothing_and_comes_back() {
    isolate_in_each_way(false).await;
}
