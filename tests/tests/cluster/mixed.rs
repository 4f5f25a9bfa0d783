//! Faults of all kinds, in random order and one upon another: even where no majority is left, nothing is lost.
//!
//! `KILL_SEED` repeats the choices, and `MIXED_ROUNDS` sets how many rounds there are.

use registry_tests::{Cluster, Cut};

use crate::load::Load;
use crate::{settings, start_with_proxies};

const ROUNDS: usize = 8;

/// What befalls a member.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Paused,
    Isolated(Cut),
    /// It is not heard by another member.
    Mute(usize, Cut),
    /// It does not hear another member.
    Deaf(usize, Cut),
}

impl Fault {
    fn any(member: usize, cluster: &Cluster, random: &mut fastrand::Rng) -> Self {
        let how = [Cut::Hold, Cut::Swallow, Cut::Reset][random.usize(..3)];
        let others = cluster.others(member);
        let other = others[random.usize(..others.len())];
        match random.u8(..5) {
            0 => Self::Killed,
            1 => Self::Paused,
            2 => Self::Isolated(how),
            3 => Self::Mute(other, how),
            _ => Self::Deaf(other, how),
        }
    }

    fn befall(self, member: usize, cluster: &mut Cluster) {
        match self {
            Self::Killed => cluster.kill(member),
            Self::Paused => cluster.pause(member),
            Self::Isolated(how) => cluster.network().isolate(member, how),
            Self::Mute(other, how) => cluster.network().cut(member, other, how),
            Self::Deaf(other, how) => cluster.network().cut(other, member, how),
        }
    }

    /// Paths are healed all at once; a member comes back by itself.
    fn end(self, member: usize, cluster: &mut Cluster) {
        match self {
            Self::Killed => cluster.spawn(member),
            Self::Paused => cluster.resume(member),
            Self::Isolated(_) | Self::Mute(..) | Self::Deaf(..) => {}
        }
    }
}

/// One round: a fault under which a majority is left, and in every other round one more, under which none may be.
#[expect(clippy::print_stdout, reason = "a failure shows it")]
async fn round(number: usize, cluster: &mut Cluster, load: &mut Load, random: &mut fastrand::Rng) {
    let mut clients = load.start(cluster, random);
    load.wait_for_writes(random.usize(1..200), &mut clients).await;
    let mut members: Vec<_> = (0..cluster.len()).collect();
    random.shuffle(&mut members);
    let faults: Vec<_> =
        members.into_iter().take(1 + number % 2).map(|member| (member, Fault::any(member, cluster, random))).collect();
    println!("round {number}: {faults:?}");

    let (first, fault) = faults[0];
    fault.befall(first, cluster);
    load.wait_for_writes(random.usize(1..200), &mut clients).await;
    if let Some((second, fault)) = faults.get(1) {
        fault.befall(*second, cluster);
        clients.wait_for_failures_or_writes(random.usize(1..200)).await;
    }

    cluster.network().heal_all();
    faults.iter().for_each(|(member, fault)| fault.end(*member, cluster));
    for member in 0..cluster.len() {
        cluster.wait_until_it_serves(member).await;
    }
    load.wait_for_writes(random.usize(1..200), &mut clients).await;
    clients.end().await;
    load.check(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_all_kinds_lose_nothing_and_repeat_nothing() {
    let Some(mut cluster) = start_with_proxies().await else { return };
    let (mut random, rounds) = (settings::random(), settings::rounds("MIXED_ROUNDS", ROUNDS));
    let mut load = Load::new(&cluster, &mut random);
    for number in 0..rounds {
        round(number, &mut cluster, &mut load, &mut random).await;
    }
    load.check_all(&cluster).await;
    load.assert_it_was_much();
    println!("{rounds} rounds of faults: {}", load.summary());
}
