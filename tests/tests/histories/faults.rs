//! What befalls the members, one thing after the other and now and then two at once, as the seed says.
//!
//! All kinds come in turn, in a drawn order, so that a short run has all of them. After each round all members are there
//! and their paths are open, and mostly the next one waits for a leader.

use std::collections::BTreeMap;
use std::ops::Range;

use registry_tests::Cluster;
use tokio::time::{Duration, Instant, sleep};

use crate::network::Paths;

/// How long a fault lasts, in milliseconds.
const WINDOW_MS: Range<u64> = 300..2_500;
/// The same where the leader is there and cut off, so that mostly another one takes over.
const LONG_WINDOW_MS: Range<u64> = 1_500..4_000;
/// A leader stands still for so long.
const LONG_PAUSE: Duration = Duration::from_secs(3);
/// Between two rounds, in milliseconds.
const REST_MS: Range<u64> = 200..1_500;
/// So many rounds of a hundred have a second fault, under which there may be no majority.
const PERCENT_OF_TWO: u8 = 25;
/// So many of a hundred follow at once, without a leader to wait for.
const PERCENT_AT_ONCE: u8 = 25;

/// What is done to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// SIGKILL, and a start on its data.
    Kill,
    /// SIGTERM, at which a leader hands over, and a start on its data.
    Stop,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// It neither hears others nor is heard.
    Isolate,
    /// Nobody hears it.
    Mute,
    /// It hears nobody.
    Deafen,
}

/// To whom it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Leader,
    Follower,
}

const DEEDS: [Deed; 6] = [Deed::Kill, Deed::Stop, Deed::Pause, Deed::Isolate, Deed::Mute, Deed::Deafen];

/// How often something was done.
pub(crate) type Counts = BTreeMap<(Deed, Role), usize>;

/// The faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    random: fastrand::Rng,
    end: Instant,
    /// What comes next, the last one first.
    next: Vec<(Deed, Role)>,
    paths: Paths,
    pub(crate) counts: Counts,
}

impl Faults {
    pub(crate) fn new(seed: u64, end: Instant) -> Self {
        let (next, counts) = (Vec::new(), Counts::new());
        Self { random: fastrand::Rng::with_seed(seed), end, next, paths: Paths::default(), counts }
    }

    /// Rounds until the end; then all members serve, and they have a leader.
    pub(crate) async fn run(&mut self, cluster: &mut Cluster) {
        while Instant::now() < self.end {
            sleep(Duration::from_millis(self.random.u64(REST_MS))).await;
            self.round(cluster).await;
        }
        cluster.wait_for_leader().await;
    }

    async fn round(&mut self, cluster: &mut Cluster) {
        let leader = cluster.leader().await;
        let is_double = self.random.u8(..100) < PERCENT_OF_TWO;
        let mut hit = Vec::new();
        for _ in 0..1 + usize::from(is_double) {
            hit.extend(self.strike(cluster, leader, &hit).await);
        }
        self.paths.mend(cluster);
        for (member, deed) in hit {
            match deed {
                Deed::Kill | Deed::Stop => cluster.restart(member).await,
                Deed::Pause => cluster.resume(member),
                Deed::Isolate | Deed::Mute | Deed::Deafen => {}
            }
        }
        if self.random.u8(..100) >= PERCENT_AT_ONCE {
            cluster.wait_for_leader().await;
        }
    }

    /// Does what comes next and lets it last; to nobody if whom it is meant for was hit before.
    async fn strike(
        &mut self,
        cluster: &mut Cluster,
        leader: Option<usize>,
        hit: &[(usize, Deed)],
    ) -> Option<(usize, Deed)> {
        let (deed, role) = self.draw();
        let leader = leader.unwrap_or_else(|| self.random.usize(..cluster.len()));
        let candidates = if role == Role::Leader { vec![leader] } else { cluster.others(leader) };
        let candidates: Vec<_> =
            candidates.into_iter().filter(|member| hit.iter().all(|(other, _)| other != member)).collect();
        if candidates.is_empty() {
            // It comes in the next round.
            self.next.push((deed, role));
            return None;
        }
        let member = candidates[self.random.usize(..candidates.len())];
        *self.counts.entry((deed, role)).or_default() += 1;
        self.befall(cluster, member, deed).await;
        sleep(self.window(deed, role)).await;
        Some((member, deed))
    }

    async fn befall(&mut self, cluster: &mut Cluster, member: usize, deed: Deed) {
        let others = cluster.others(member);
        let (from, to) = (others.iter().map(|other| (*other, member)), others.iter().map(|other| (member, *other)));
        match deed {
            Deed::Kill => cluster.kill(member),
            Deed::Stop => {
                let status = cluster.stop(member).await;
                assert!(status.success(), "member {member} was told to stop: {status}");
            }
            Deed::Pause => cluster.pause(member),
            Deed::Isolate => self.paths.cut(cluster, &mut self.random, from.chain(to)),
            Deed::Mute => self.paths.cut(cluster, &mut self.random, to),
            Deed::Deafen => self.paths.cut(cluster, &mut self.random, from),
        }
    }

    /// How long it lasts.
    fn window(&mut self, deed: Deed, role: Role) -> Duration {
        match (deed, role) {
            (Deed::Pause, Role::Leader) => LONG_PAUSE,
            (Deed::Isolate | Deed::Mute | Deed::Deafen, Role::Leader) => {
                Duration::from_millis(self.random.u64(LONG_WINDOW_MS))
            }
            _ => Duration::from_millis(self.random.u64(WINDOW_MS)),
        }
    }

    fn draw(&mut self) -> (Deed, Role) {
        if self.next.is_empty() {
            self.next = DEEDS.into_iter().flat_map(|deed| [(deed, Role::Leader), (deed, Role::Follower)]).collect();
            self.random.shuffle(&mut self.next);
        }
        self.next.pop().expect("it was filled")
    }
}
