//! Paths that are cut in one direction: the cluster goes on, and does not go through terms without end.

use std::time::Duration;

use registry_tests::{Cluster, Cut, Plan, Program, eventually};
use tokio::time::Instant;

use crate::load::Load;
use crate::{settings, start_as};

/// Writes while a path is cut.
const WRITES: usize = 200;
/// How long it is cut at least: several elections find room in it, which take one to two seconds each.
pub(crate) const WINDOW: Duration = Duration::from_secs(6);
/// Terms that a cut may cost, the healing included. Without a check before an election (pre-vote), a member
/// that hears nobody would begin one every second or two.
const MOST_TERMS: u64 = 4;

/// Two members (from, to) at a time.
pub(crate) type Paths = Vec<(usize, usize)>;

/// Cuts paths under load, which the leader of then decides about, and heals them.
#[expect(clippy::print_stdout, reason = "a failure shows it")]
async fn cut(name: &str, paths: impl Fn(&Cluster, usize) -> Paths) {
    // etcd has the check before an election behind a flag.
    let plan = |program: Program| {
        let flags = if program.is_registry() { Vec::new() } else { vec!["--pre-vote=true"] };
        Plan::new(program, 3).with_proxies().with_flags(&flags)
    };
    let Some(cluster) = start_as(plan).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    for (how, window) in [(Cut::Hold, WINDOW), (Cut::Swallow, Duration::ZERO)] {
        let cut = |from, to| cluster.network().cut(from, to, how);
        let heal = |_: &Paths| cluster.network().heal_all();
        let told = cut_once(&cluster, &mut load, &mut random, (&paths, window), (cut, heal)).await;
        println!("{name}, {how:?}: {told}");
    }
    load.check_all(&cluster).await;
}

/// Cuts paths for some time, and heals them; says what came of it.
pub(crate) async fn cut_once(
    cluster: &Cluster,
    load: &mut Load,
    random: &mut fastrand::Rng,
    (paths, window): (impl Fn(&Cluster, usize) -> Paths, Duration),
    (cut, heal): (impl Fn(usize, usize), impl FnOnce(&Paths)),
) -> String {
    let mut clients = load.start(cluster, random);
    load.wait_for_writes(WRITES / 10, &mut clients).await;
    let paths = paths(cluster, cluster.wait_for_leader().await);
    let before = term(cluster).await;
    let began = Instant::now();
    paths.iter().for_each(|(from, to)| cut(*from, *to));
    load.wait_for_writes(WRITES, &mut clients).await;
    let took = began.elapsed();
    eventually(2 * WINDOW, "the time has come to heal", async || began.elapsed() >= window).await;
    heal(&paths);
    load.wait_for_writes(WRITES / 10, &mut clients).await;
    clients.end().await;
    load.check(cluster).await;
    let terms = term(cluster).await - before;
    assert!(terms <= MOST_TERMS, "{terms} terms while a path was cut");
    format!("{WRITES} writes in {took:?}, {terms} terms")
}

/// The latest term that anybody knows.
async fn term(cluster: &Cluster) -> u64 {
    cluster.standings().await.iter().map(|standing| standing.term).max().expect("members answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_does_not_hear_the_leader_disturbs_nobody() {
    cut("deaf follower", |cluster, leader| vec![(leader, cluster.others(leader)[0])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_hears_is_replaced() {
    cut("mute leader", |cluster, leader| cluster.others(leader).into_iter().map(|to| (leader, to)).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_nobody_gives_up() {
    cut("deaf leader", |cluster, leader| cluster.others(leader).into_iter().map(|from| (from, leader)).collect()).await;
}
