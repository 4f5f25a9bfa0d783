//! kill -9 at random moments under everything that clients do, again and again.
//!
//! The server's lives are short or long, and some end before it serves. The seed is printed; `KILL_SEED`
//! repeats the moments (not the machine's timing) and `KILL_ROUNDS` sets how many there are.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use registry_proto::etcdserverpb::ResponseHeader;
use registry_tests::budget::{KILLS, SOON};
use registry_tests::{Client, Node, eventually};
use tokio::time::{Instant, sleep};

use crate::NODE;
use crate::leases::Crash;
use crate::load::Load;

/// Small segments, so that the log goes through many: as small as the largest request lets them be.
const SMALL_SEGMENTS: [&str; 2] = ["--wal-segment-bytes=65536", "--max-request-bytes=65536"];

/// When a life ends.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// On the way to serving: after this part of what a start took.
    Starting(f64),
    /// So long after clients began.
    Serving(Duration),
}

/// All kills of one test, in random order: most lives are very short, a fifth never serves, and a few are
/// longer than the checkpoint intervals of leases of 2 to 6 s; one, of a lease of 20 s.
fn moments(kills: usize, random: &mut fastrand::Rng) -> Vec<Moment> {
    let between =
        |from_ms, to_ms, random: &mut fastrand::Rng| Moment::Serving(Duration::from_millis(random.u64(from_ms..to_ms)));
    let mut moments: Vec<_> = (0..kills)
        .map(|kill| match kill {
            50 => between(11_100, 11_400, random),
            _ if kill % 30 == 7 => between(4_100, 5_000, random),
            _ if kill % 20 == 3 => between(200, 1_200, random),
            _ if kill % 5 == 4 => Moment::Starting(1.2 * random.f64()),
            _ => between(0, 200, random),
        })
        .collect();
    random.shuffle(&mut moments);
    moments
}

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// The kill found a server that ran: it had not ended by itself.
fn assert_killed(status: ExitStatus, node: &Node) {
    assert_eq!(status.signal(), Some(9), "the server ended by itself: {status}, {:#?}", node.log());
}

/// Kills the server on the same data while all clients are at work, and checks everything after each start.
#[expect(clippy::print_stdout, reason = "a failure shows it")]
async fn kill_again_and_again(flags: &[&str]) -> Node {
    let seed = setting("KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = setting("KILL_ROUNDS").unwrap_or(KILLS);
    println!("KILL_SEED={seed} KILL_ROUNDS={kills}");
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut load = Load::new();
    let mut node = Node::start(NODE, flags).await;
    let client = node.client().await;
    load.begin(&client, &mut random).await;
    let mut before = client.header().await;
    let mut crash = Crash::now(load.ledger.stall());
    assert_killed(node.kill9(), &node);
    let mut down_since = Instant::now();
    let mut start_took = Duration::ZERO;
    for moment in moments(kills, &mut random) {
        crash.down += down_since.elapsed();
        let starts = Instant::now();
        let life = match moment {
            Moment::Starting(part) => {
                assert_killed(node.start_and_kill9(start_took.mul_f64(part)).await, &node);
                down_since = Instant::now();
                continue;
            }
            Moment::Serving(life) => life,
        };
        node.start_again().await;
        start_took = starts.elapsed();
        before = check_after(&crash, &node, &mut load, &before).await;

        let client = node.client().await;
        let clients = load.start(&client, &mut random);
        sleep(life).await;
        load.leases.check_none_is_late(&client, load.ledger.stall()).await;
        crash = Crash::now(load.ledger.stall());
        assert_killed(node.kill9(), &node);
        down_since = Instant::now();
        clients.end().await;
    }
    node.start_again().await;
    check_after(&crash, &node, &mut load, &before).await;
    check_the_end(&node.client().await, &mut load, &mut random).await;
    println!("{kills} kills in {:?}: {}", began.elapsed(), load.summary());
    node
}

/// After a restart: everything is there, and the node is who it was, at no earlier term or revision.
async fn check_after(crash: &Crash, node: &Node, load: &mut Load, before: &ResponseHeader) -> ResponseHeader {
    load.leases.restarted(crash);
    let client = node.client().await;
    let after = client.header().await;
    assert!(after.revision >= before.revision, "the revision went back: {before:?}, {after:?}");
    assert!(after.raft_term >= before.raft_term, "the term went back: {before:?}, {after:?}");
    assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id));
    load.check(&client).await;
    after
}

/// After the last kill: what nobody keeps alive goes in time, and the rest stays.
async fn check_the_end(client: &Client, load: &mut Load, random: &mut fastrand::Rng) {
    let renewing = load.start_renewing(client, random);
    let over = async || load.leases.only_long_and_kept_ones_are_left(client).await;
    eventually(SOON, "short leases are gone", over).await;
    load.check(client).await;
    drop(renewing);
    load.assert_it_was_much();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_repeat_nothing_and_leave_leases_and_watches_what_they_were() {
    drop(kill_again_and_again(&SMALL_SEGMENTS).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_while_snapshots_are_written_and_the_log_is_purged() {
    let node = kill_again_and_again(&[&SMALL_SEGMENTS[..], &["--snapshot-log-bytes=20000"]].concat()).await;
    let has = |dir: &str, name: &str| {
        let files = std::fs::read_dir(node.data_dir().join(dir)).expect("the directory is there");
        files.map(|file| file.expect("it can be read").file_name()).any(|file| file.to_string_lossy().ends_with(name))
    };
    assert!(has("member/snap", ".snap"), "no snapshot was written");
    assert!(!has("member/wal", "-0000000000000001.log"), "the log was never purged");
}
