//! A machine that is busy all the time: whoever leads goes on leading.
//!
//! `BUSY_SECONDS` sets for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use registry_tests::requests::{key, put};
use registry_tests::{Client, eventually};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::{settings, start};

const SECONDS: usize = 10;
/// Clients that write, and as many that read, through each member: more than two cores can serve.
const CLIENTS: usize = 32;
/// What a look at the terms may take on such a machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn keep_asking(client: Client, name: String, done: Arc<AtomicU64>, writes: bool) {
    loop {
        let asked = match writes {
            true => client.try_put(put(&name, vec![b'x'; 256])).await.map(drop),
            false => client.try_range(key(&name)).await.map(drop),
        };
        asked.expect("a busy cluster answers");
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Jiffies of all processors since the machine's start: those in which they had nothing to do, and all.
fn jiffies() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/stat").expect("it can be read");
    let line = stat.lines().next().expect("it has a line of all processors");
    let figures: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|figure| figure.parse().ok()).collect();
    (figures[3] + figures[4], figures.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_asks_for_an_election_while_all_are_busy() {
    let Some(cluster) = start(3).await else { return };
    let seconds = settings::rounds("BUSY_SECONDS", SECONDS);
    let leader = cluster.wait_for_leader().await;
    let term = cluster.client(leader).header().await.raft_term;
    let (puts, reads) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for member in cluster.members() {
        for number in 0..CLIENTS {
            let name = format!("busy/{member}/{number}");
            tasks.spawn(keep_asking(cluster.client(member), name.clone(), puts.clone(), true));
            tasks.spawn(keep_asking(cluster.client(member), name, reads.clone(), false));
        }
    }
    let (began, (idle, all)) = (Instant::now(), jiffies());
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        sleep(Duration::from_secs(1)).await;
        if let Some(Err(error)) = tasks.try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
        eventually(PATIENCE, "all tell their term", async || cluster.standings().await.len() == 3).await;
        let terms: Vec<_> = cluster.standings().await.into_iter().map(|standing| standing.term).collect();
        assert!(
            terms.iter().all(|now| *now == term),
            "the term was {term}, and is {terms:?} after {:?}",
            began.elapsed()
        );
    }
    let (idle, all) = (jiffies().0 - idle, jiffies().1 - all);
    println!(
        "{seconds} s in term {term}: {} puts, {} reads, processors busy for {:.1}% of the time",
        puts.load(Ordering::Relaxed),
        reads.load(Ordering::Relaxed),
        100.0 * (1.0 - idle as f64 / all as f64)
    );
}
