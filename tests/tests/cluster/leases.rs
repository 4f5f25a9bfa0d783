//! Leases while leaders are killed: who lives is never lost, and who is dead is gone in time, and not too soon.
//!
//! `LEASES` sets how many there are, `LEASE_KILLS` how many leaders are killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_tests::budget::SOON;
use registry_tests::requests::prefix;
use registry_tests::{Client, Cluster, eventually};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::instances::{Instance, Instances, TTL, key_of};
use crate::{settings, start};

const LEASES: usize = 500;
const KILLS: usize = 3;
/// One of so many dies before each kill, and as many after it.
const DYING: usize = 12;
/// Between two looks at the keys, and what one may take.
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);
/// What an election takes, in which no lease runs out.
const ELECTION: Duration = Duration::from_secs(2);
/// For revoking many leases at once on a busy machine, and for seeing it.
const SLACK: Duration = Duration::from_secs(2);

/// What is seen of the keys.
#[derive(Debug, Default)]
struct Sight {
    term: u64,
    /// When a new term was first seen.
    changes: Vec<Instant>,
    looks: usize,
    /// How long after its TTL the last of the dead was still there.
    latest: Duration,
}

impl Sight {
    /// Takes what a read found that was sent after one instant and answered before another.
    fn take(&mut self, keys: &BTreeSet<String>, term: u64, sent: Instant, instances: &Instances, per_change: Duration) {
        let answered = Instant::now();
        if term > self.term {
            self.term = term;
            self.changes.push(answered);
        }
        self.looks += 1;
        instances.for_each(|lease, instance| {
            if keys.contains(&key_of(lease)) {
                assert!(!instance.is_gone, "lease {lease} has come back");
                self.assert_not_late(lease, instance, sent, per_change);
            } else if !instance.is_gone {
                assert!(!instance.is_live, "lease {lease} is lost, though it lives: {instance:?}");
                let age = answered - instance.renewed_after;
                assert!(age >= TTL, "lease {lease} is gone after {age:?}: {instance:?}");
                instance.is_gone = true;
            }
        });
    }

    fn assert_not_late(&mut self, lease: i64, instance: &Instance, seen: Instant, per_change: Duration) {
        let age = seen.saturating_duration_since(instance.renewed_before);
        let changes = self.changes.iter().filter(|change| **change > instance.renewed_before).count() as u32;
        let most = TTL + per_change * changes + SLACK;
        assert!(instance.is_live || age <= most, "dead for {age:?}, with {changes} changes: {lease}, {instance:?}");
        if !instance.is_live {
            self.latest = self.latest.max(age.saturating_sub(TTL));
        }
    }
}

/// Looks at the keys through one member after another, all the time.
async fn keep_looking(sight: Arc<Mutex<Sight>>, clients: Vec<Client>, instances: Instances, per_change: Duration) {
    for client in clients.iter().cycle() {
        let sent = Instant::now();
        let range = client.try_range(prefix("instance/"));
        if let Ok(Ok(answer)) = timeout(PATIENCE, range).await {
            let term = answer.header.expect("every answer has a header").raft_term;
            let kvs = answer.kvs.into_messages().expect("key-values decode");
            let keys = kvs.into_iter().map(|kv| String::from_utf8(kv.key.to_vec()).expect("we wrote it")).collect();
            sight.lock().take(&keys, term, sent, &instances, per_change);
        }
        sleep(LOOK).await;
    }
}

/// Waits for a condition, and ends with whatever has panicked meanwhile.
async fn wait(tasks: &mut JoinSet<()>, limit: Duration, what: &str, condition: impl Fn() -> bool) {
    let tasks = Mutex::new(tasks);
    eventually(limit, what, async || {
        if let Some(Err(error)) = tasks.lock().try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
        condition()
    })
    .await;
}

/// Kills the leader while all are kept alive, and some die before and after it.
async fn kill(cluster: &mut Cluster, instances: &Instances, tasks: &mut JoinSet<()>, dying: usize) {
    let renewed = |since: Instant| move || instances.are_renewed_since(since);
    instances.let_die(dying);
    wait(tasks, SOON, "all that live are renewed", renewed(Instant::now())).await;
    let leader = cluster.wait_for_leader().await;
    cluster.kill(leader);
    instances.let_die(dying);
    cluster.wait_for_leader().await;
    cluster.restart(leader).await;
    wait(tasks, SOON, "all that live are renewed", renewed(Instant::now())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_outlive_leaders_and_nobody_else() {
    let Some(mut cluster) = start(3).await else { return };
    let mut random = settings::random();
    let (count, kills) = (settings::rounds("LEASES", LEASES), settings::rounds("LEASE_KILLS", KILLS));
    let clients = cluster.clients();
    let instances = Instances::register(&clients, count).await;
    let mut tasks = instances.keep_alive(&clients, random.fork());
    let sight = Arc::new(Mutex::new(Sight::default()));
    // A new leader knows what is left of a lease as of half a TTL ago; etcd's begins it anew.
    let per_change = if cluster.is_registry() { TTL / 2 } else { TTL } + ELECTION;
    let looking = keep_looking(sight.clone(), clients.clone(), instances.clone(), per_change);
    tasks.spawn(looking);

    for _ in 0..kills {
        kill(&mut cluster, &instances, &mut tasks, count.div_ceil(DYING * kills)).await;
    }
    let most = TTL + per_change * (kills as u32 + 1) + SLACK;
    wait(&mut tasks, most, "the dead are gone", || instances.dead_are_gone()).await;
    let live = instances.live();
    assert!(live.len() < count, "some have died");
    for client in &clients {
        client.revision().await;
        assert_eq!(client.leases().await, live);
    }
    wait(&mut tasks, SOON, "all that live are renewed", || instances.are_renewed_since(Instant::now() - TTL)).await;
    let sight = sight.lock();
    println!(
        "{count} leases, {kills} kills: {} died, the last {:.1} s after its TTL; {} terms, {} looks",
        count - live.len(),
        sight.latest.as_secs_f64(),
        sight.changes.len(),
        sight.looks
    );
}
