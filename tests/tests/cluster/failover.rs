//! How long writes wait when the leader is killed, and when it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::Client;
use registry_tests::requests::put;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::{settings, start};

const ROUNDS: usize = 7;
/// What one attempt may take: one that was sent on to the leader that is gone is answered by nobody.
const ATTEMPT: Duration = Duration::from_millis(200);
/// Before the next attempt.
const PAUSE: Duration = Duration::from_millis(5);
/// A bound against hanging, and no promise: an election takes one to two seconds.
const MOST: Duration = Duration::from_secs(5);

/// Puts until that succeeds.
async fn put_at_last(client: Client, value: String) -> Instant {
    loop {
        let attempt = client.try_put(put("failover", value.clone()));
        if timeout(ATTEMPT, attempt).await.is_ok_and(|answer| answer.is_ok()) {
            return Instant::now();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Puts all the time, and keeps the longest time between two that succeeded.
async fn keep_putting(client: Client, longest: Arc<Mutex<Duration>>) {
    let mut last = Instant::now();
    loop {
        let now = put_at_last(client.clone(), "meanwhile".to_owned()).await;
        let mut longest = longest.lock();
        *longest = (*longest).max(now - last);
        last = now;
    }
}

/// Prints what was measured.
#[expect(clippy::print_stdout, reason = "these are the figures")]
fn tell(what: &str, waits: &mut [Duration]) {
    waits.sort_unstable();
    println!("{what}, {} rounds: p50 {:?}, max {:?}", waits.len(), waits[waits.len() / 2], waits[waits.len() - 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_stop_makes_nobody_wait_for_an_election() {
    let Some(mut cluster) = start(3).await else { return };
    let mut waits = Vec::new();
    for _ in 0..settings::rounds("FAILOVER_ROUNDS", ROUNDS) {
        let leader = cluster.wait_for_leader().await;
        let longest = Arc::<Mutex<Duration>>::default();
        let mut putting = JoinSet::new();
        for other in cluster.others(leader) {
            cluster.client(other).put("failover", "before").await;
            putting.spawn(keep_putting(cluster.client(other), longest.clone()));
        }
        cluster.stop(leader).await;
        // The last wait may not be over yet.
        for other in cluster.others(leader) {
            timeout(MOST, put_at_last(cluster.client(other), "after".to_owned()))
                .await
                .expect("a put succeeds in time");
        }
        drop(putting);
        waits.push(*longest.lock());
        cluster.restart(leader).await;
    }
    tell("the longest wait for a put while the leader stops", &mut waits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_in_time() {
    let Some(mut cluster) = start(3).await else { return };
    let rounds = settings::rounds("FAILOVER_ROUNDS", ROUNDS);
    let mut waits = Vec::new();
    for round in 0..rounds {
        let leader = cluster.wait_for_leader().await;
        // Clients of the others have their connections.
        for other in cluster.others(leader) {
            cluster.client(other).put("failover", "before").await;
        }
        let began = Instant::now();
        cluster.kill(leader);
        let mut attempts = JoinSet::new();
        for other in cluster.others(leader) {
            attempts.spawn(put_at_last(cluster.client(other), format!("{round}")));
        }
        let ended = timeout(MOST, attempts.join_next()).await.expect("a put succeeds in time");
        waits.push(ended.expect("there are attempts").expect("an attempt does not panic") - began);
        drop(attempts);
        cluster.restart(leader).await;
        let value = cluster.client(leader).value("failover").await.expect("the key is there");
        assert_eq!(value, round.to_string(), "what was acknowledged is there");
    }
    tell("failover", &mut waits);
}
