//! A follower that was away while so much was written that the log it needs is gone: it is current again soon, and
//! so are its watchers, while writes go on, and whoever is killed while its snapshot is on its way.
//!
//! `AWAY_WRITES` sets how many puts it misses, `AWAY_PUTS` how many of them are one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry_proto::etcdserverpb::WatchResponse;
use registry_tests::budget::SOON;
use registry_tests::chronicle::watch_everything;
use registry_tests::requests::{Operation, put, txn};
use registry_tests::{Client, Cluster, Footprint, Plan, Watching, eventually};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::{Alone, settings, start_as};

/// Puts while the follower is away.
const WRITES: usize = 100_000;
/// Puts of one transaction, which is one revision, and those under way in all: with more of them fewer entries are written,
/// and the log might keep them all.
const PUTS: usize = 100;
const UNDER_WAY: usize = 400;
const VALUE_BYTES: usize = 64;
/// Puts while the follower comes back, at least, and between two of them.
const MEANWHILE: usize = 100;
const PAUSE: Duration = Duration::from_millis(5);
/// Attempts at cutting a snapshot off.
const CUTS: usize = 10;
/// A bound against hanging, and no promise.
const MOST: Duration = Duration::from_secs(60);

/// Little log is kept, so that the follower needs a snapshot.
async fn start() -> Option<Alone> {
    start_as(|program| {
        let little_log = if program.is_registry() { "--snapshot-log-bytes=1000000" } else { "--snapshot-count=100" };
        Plan::new(program, 3).with_flags(&[little_log])
    })
    .await
}

/// Puts so many keys, by transactions.
async fn fill(client: &Client, writes: usize, at_once: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..(UNDER_WAY / at_once).clamp(4, 64) {
        let (client, next) = (client.clone(), next.clone());
        writers.spawn(async move {
            loop {
                let first = next.fetch_add(at_once, Ordering::Relaxed);
                if first >= writes {
                    return;
                }
                let keys = (first..first + at_once).map(|number| format!("away/{number:08}"));
                let puts = txn(keys.map(|key| put(&key, vec![b'x'; VALUE_BYTES]).op()).collect());
                // A busy machine may have an election, and once more does no harm.
                eventually(SOON, "puts are accepted", async || client.txn(puts.clone()).await.is_ok()).await;
            }
        });
    }
    writers.join_all().await;
}

/// Puts one key, again and again, until it is dropped.
fn keep_putting(client: Client, puts: Arc<AtomicUsize>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let number = puts.load(Ordering::Relaxed);
            if client.try_put(put("meanwhile", number.to_string())).await.is_ok() {
                puts.fetch_add(1, Ordering::Relaxed);
            }
            sleep(PAUSE).await;
        }
    });
    tasks
}

/// Starts the follower, and says how long it takes until a read through it tells what was written before the read.
async fn come_back(cluster: &mut Cluster, follower: usize, leader: usize) -> Duration {
    let began = Instant::now();
    cluster.restart(follower).await;
    let written = cluster.client(leader).revision().await;
    let read = cluster.client(follower).revision().await;
    assert!(read >= written, "a read through the follower is of revision {read}, after {written} was written");
    began.elapsed()
}

/// Reads what a stream tells up to a revision: each revision once and in order, from `next` on.
async fn assert_no_gap(watching: &mut Watching, mut next: i64, upto: i64) {
    let mut in_part = None;
    while next <= upto {
        let answer: WatchResponse = watching.answer().await;
        assert!(!answer.canceled, "{answer:?}");
        for event in answer.events.into_messages().expect("events decode") {
            let revision = event.kv.expect("an event has a key").mod_revision;
            if in_part != Some(revision) {
                assert_eq!(revision, next, "there is a gap");
                (in_part, next) = (Some(revision), next + 1);
            }
        }
    }
}

/// The revision up to which a follower has compacted, as a watcher from before is told.
async fn compacted_by(client: &Client, start_revision: i64) -> i64 {
    let mut watching = Watching::open(client).await;
    let mut answer = watching.create(watch_everything(start_revision)).await;
    while !answer.canceled {
        assert!(answer.events.is_empty(), "events of what was compacted");
        answer = watching.answer().await;
    }
    answer.compact_revision
}

/// Has a follower miss so many puts, and a compaction or not; all is well again while puts go on.
#[expect(clippy::print_stdout, reason = "these are the figures")]
async fn be_away(cluster: &mut Cluster, writes: usize, compacts: bool) {
    let leader = cluster.wait_for_leader().await;
    let follower = cluster.others(leader)[0];
    let seen = cluster.client(follower).put("before", "1").await;
    let mut watching = Watching::of(&cluster.client(follower), watch_everything(seen)).await;
    assert_no_gap(&mut watching, seen, seen).await;
    drop(watching);
    assert!(cluster.stop(follower).await.success() || !cluster.is_registry());
    let snapshots = snapshots(cluster, follower);

    fill(&cluster.client(leader), writes, settings::rounds("AWAY_PUTS", PUTS)).await;
    let compacted = cluster.client(leader).revision().await - 10;
    if compacts {
        cluster.client(leader).compact(compacted).await.expect("it is compacted");
    }
    let leader = cluster.wait_for_leader().await;
    let peak = |cluster: &Cluster| Footprint::of(cluster.pid(leader).expect("it runs")).peak_kib / 1024;
    let peak_before = peak(cluster);
    let puts = Arc::new(AtomicUsize::new(0));
    let putting = keep_putting(cluster.client(leader), puts.clone());
    let took = come_back(cluster, follower, leader).await;
    println!(
        "{writes} puts away: current after {:.2} s; the leader's peak was {peak_before} MiB and is {} MiB",
        took.as_secs_f64(),
        peak(cluster)
    );
    assert!(took < MOST, "{took:?}");
    assert!(!cluster.is_registry() || self::snapshots(cluster, follower) > snapshots, "it needed no snapshot");

    let client = cluster.client(follower);
    let mut from = seen + 1;
    if compacts {
        let told = compacted_by(&client, from).await;
        assert_eq!(told, compacted, "what the watcher is told to resume from");
        from = told;
    }
    let mut watching = Watching::of(&client, watch_everything(from)).await;
    let enough = puts.load(Ordering::Relaxed) + MEANWHILE;
    eventually(SOON, "puts go on", async || puts.load(Ordering::Relaxed) >= enough).await;
    let revision = cluster.client(leader).revision().await;
    assert_no_gap(&mut watching, from, revision).await;
    cluster.assert_equal_hashes(revision).await;
    drop(putting);
}

/// How many snapshots were sent to a member in all its lives.
fn snapshots(cluster: &Cluster, member: usize) -> usize {
    cluster.log(member).iter().filter(|line| line.contains("a snapshot is coming")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_is_soon_current_again_while_writes_go_on() {
    let Some(mut cluster) = start().await else { return };
    let writes = settings::rounds("AWAY_WRITES", WRITES);
    be_away(&mut cluster, writes, false).await;
    be_away(&mut cluster, writes / 2, true).await;
}

/// Has a follower miss much, and one of two killed while its snapshot is on its way; says whether a second one was sent.
async fn cut_off(cluster: &mut Cluster, kills_leader: bool) -> bool {
    let leader = cluster.wait_for_leader().await;
    let follower = cluster.others(leader)[0];
    cluster.stop(follower).await;
    fill(&cluster.client(leader), WRITES, PUTS).await;
    let leader = cluster.wait_for_leader().await;
    let before = snapshots(cluster, follower);
    cluster.spawn(follower);
    eventually(SOON, "a snapshot comes", async || snapshots(cluster, follower) > before).await;
    let killed = if kills_leader { leader } else { follower };
    cluster.kill(killed);
    if kills_leader {
        // Who is left has to go on by itself: both of them are the majority.
        cluster.wait_for_leader().await;
    }
    cluster.restart(killed).await;
    cluster.wait_until_it_serves(follower).await;
    let leader = cluster.wait_for_leader().await;
    let revision = cluster.client(leader).put("after", "1").await;
    cluster.assert_equal_hashes(revision).await;
    let files = std::fs::read_dir(cluster.data_dir(follower).join("member/snap")).expect("it can be listed");
    let names: Vec<_> = files.map(|file| file.expect("it can be listed").file_name()).collect();
    assert!(names.iter().all(|name| name.to_string_lossy().ends_with(".snap")), "something is left: {names:?}");
    snapshots(cluster, follower) > before + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_cut_off_at_either_end_is_sent_again() {
    let Some(mut cluster) = start().await else { return };
    if !cluster.is_registry() {
        return;
    }
    for kills_leader in [false, true] {
        let mut attempts = 0;
        // The kill may come too late.
        while !cut_off(&mut cluster, kills_leader).await {
            attempts += 1;
            assert!(attempts < CUTS, "no snapshot was cut off");
        }
    }
}
