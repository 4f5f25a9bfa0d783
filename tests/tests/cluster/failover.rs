//! How long writes wait when the leader is killed.

use std::time::Duration;

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
    waits.sort_unstable();
    println!("failover of {rounds}: p50 {:?}, max {:?}", waits[rounds / 2], waits[rounds - 1]);
}
