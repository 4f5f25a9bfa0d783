//! kill -9 of a minority, or of all, at random moments under load, again and again.
//!
//! The seed is printed; `KILL_SEED` repeats the choices (not the machine's timing), and `KILL_ROUNDS` sets how
//! many rounds there are.

use registry_tests::Cluster;
use tokio::time::Instant;

use crate::load::Load;
use crate::{settings, start};

/// Rounds of each test, unless `KILL_ROUNDS` says otherwise.
const ROUNDS_OF_THREE: usize = 12;
const ROUNDS_OF_FIVE: usize = 4;
/// Rounds of each test that kills everything.
const ROUNDS_OF_ALL: usize = 3;

/// A minority of some size: with the leader in every other round, without it in the others.
async fn victims(round: usize, cluster: &Cluster, random: &mut fastrand::Rng) -> Vec<usize> {
    let leader = cluster.wait_for_leader().await;
    let mut victims = cluster.others(leader);
    random.shuffle(&mut victims);
    if round.is_multiple_of(2) {
        victims.insert(0, leader);
    }
    victims.truncate(random.usize(1..=cluster.len().div_ceil(2) - 1));
    victims
}

/// One round: kill, see the others go on, and have the victims come back, all of it under load.
async fn round(number: usize, cluster: &mut Cluster, load: &mut Load, random: &mut fastrand::Rng) {
    let mut clients = load.start(cluster, random);
    load.wait_for_writes(random.usize(1..300), &mut clients).await;
    let victims = victims(number, cluster, random).await;
    victims.iter().for_each(|victim| cluster.kill(*victim));
    load.wait_for_writes(random.usize(1..300), &mut clients).await;
    for victim in &victims {
        cluster.spawn(*victim);
        if random.u8(..4) == 0 {
            // On its way to serving, too.
            load.wait_for_writes(random.usize(1..50), &mut clients).await;
            cluster.kill(*victim);
            cluster.spawn(*victim);
        }
    }
    for victim in victims {
        cluster.wait_until_it_serves(victim).await;
    }
    load.wait_for_writes(random.usize(1..100), &mut clients).await;
    clients.end().await;
    load.check(cluster).await;
}

#[expect(clippy::print_stdout, reason = "a failure shows it")]
async fn kill_again_and_again(members: usize, rounds: usize) {
    let Some(mut cluster) = start(members).await else { return };
    let (mut random, rounds) = (settings::random(), settings::rounds("KILL_ROUNDS", rounds));
    let began = Instant::now();
    let mut load = Load::new(&cluster, &mut random);
    for number in 0..rounds {
        round(number, &mut cluster, &mut load, &mut random).await;
    }
    load.check_all(&cluster).await;
    load.assert_it_was_much();
    println!("{rounds} rounds of {members} members in {:?}: {}", began.elapsed(), load.summary());
}

/// Kills all members at once, so that nobody is left to go on.
async fn kill_all(members: usize) {
    let Some(mut cluster) = start(members).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    for _ in 0..ROUNDS_OF_ALL {
        let mut clients = load.start(&cluster, &mut random);
        load.wait_for_writes(random.usize(1..200), &mut clients).await;
        (0..members).for_each(|member| cluster.kill(member));
        (0..members).for_each(|member| cluster.spawn(member));
        for member in 0..members {
            cluster.wait_until_it_serves(member).await;
        }
        load.wait_for_writes(random.usize(1..100), &mut clients).await;
        clients.end().await;
        load.check(&cluster).await;
    }
    load.check_all(&cluster).await;
    load.assert_it_was_much();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_loses_nothing_and_repeats_nothing_when_it_is_killed() {
    kill_all(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_lose_nothing_and_repeat_nothing_when_all_are_killed_at_once() {
    kill_all(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_lose_nothing_and_repeat_nothing_while_one_is_killed() {
    kill_again_and_again(3, ROUNDS_OF_THREE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_members_lose_nothing_and_repeat_nothing_while_up_to_two_are_killed() {
    kill_again_and_again(5, ROUNDS_OF_FIVE).await;
}
