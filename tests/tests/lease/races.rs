//! Revocation and expiry against what clients do at the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use registry_proto::etcdserverpb::RangeRequest;
use registry_tests::budget::{POLL, SOON};
use registry_tests::requests::{Operation, key, leased, prefix, txn, watch_prefix};
use registry_tests::{Client, EmbeddedNode, Happened, Watching, eventually, refusal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Code;

/// The shortest TTL there is.
const TTL: Duration = Duration::from_secs(2);
/// How far around the end of their leases clients act.
const SPREAD: Duration = Duration::from_millis(300);

async fn on_two_threads() -> EmbeddedNode {
    EmbeddedNode::start_with(|config| config.worker_threads = Some(2)).await
}

fn gone() -> (Code, String) {
    (Code::NotFound, "etcdserver: requested lease not found".to_owned())
}

/// When the one of `many` that has this place acts: all over the time around the end of a TTL that began at `begin`.
fn around_the_end(begin: Instant, place: i64, many: i64) -> Instant {
    let part = |number| u32::try_from(number).expect("there are few leases");
    begin + TTL - SPREAD + 2 * SPREAD * part(place) / part(many)
}

/// A lease that is about to be revoked, as those who watch it see it.
#[derive(Default)]
struct Watched {
    /// A revocation was acknowledged, or the key was seen to be deleted.
    is_gone: AtomicBool,
    /// The newest revision at which a keep-alive said that the lease lives.
    alive_at: AtomicI64,
}

impl Watched {
    async fn keep_alive(&self, client: Client, id: i64) {
        let mut stream = client.keep_alive().await;
        loop {
            let was_gone = self.is_gone.load(Ordering::SeqCst);
            let answer = stream.try_renew(id).await.expect("the stream goes on").expect("the stream goes on");
            if answer.ttl > 0 {
                self.alive_at.fetch_max(answer.header.expect("every answer has one").revision, Ordering::SeqCst);
            }
            if was_gone {
                return assert_eq!(answer.ttl, 0, "lease {id} was gone before it was asked for");
            }
        }
    }

    async fn look(&self, client: Client, id: i64) {
        let request = RangeRequest { serializable: true, ..key(&format!("k/{id}")) };
        while !client.range(request.clone()).await.is_empty() {}
        self.is_gone.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keep_alive_succeeds_once_a_revocation_was_acknowledged_or_seen() {
    let node = on_two_threads().await;
    let client = node.client().await;
    for round in 0..8 {
        let mut tasks = JoinSet::new();
        for id in round * 10 + 1..=round * 10 + 10 {
            client.grant(id, 600).await.unwrap();
            client.try_put(leased(&format!("k/{id}"), "1", id)).await.unwrap();
            let watched = Arc::new(Watched::default());
            for _ in 0..4 {
                let (client, watched) = (client.clone(), watched.clone());
                tasks.spawn(async move { watched.keep_alive(client, id).await });
            }
            let (looking, seen) = (client.clone(), watched.clone());
            tasks.spawn(async move { seen.look(looking, id).await });
            let client = client.clone();
            tasks.spawn(async move {
                let lives = async || watched.alive_at.load(Ordering::SeqCst) > 0;
                eventually(SOON, "it is kept alive", lives).await;
                let deleted_at = client.revoke(id).await.unwrap();
                watched.is_gone.store(true, Ordering::SeqCst);
                let alive_at = watched.alive_at.load(Ordering::SeqCst);
                assert!(alive_at < deleted_at, "alive at {alive_at}, and deleted at {deleted_at}");
            });
        }
        tasks.join_all().await;
    }
}

/// The instants at which the keys below `k/` were seen to be deleted.
async fn deletions(mut watching: Watching, many: i64) -> BTreeMap<i64, Instant> {
    let mut deleted = BTreeMap::new();
    while deleted.len() < usize::try_from(many).expect("there are few leases") {
        let events = watching.answer().await.events.into_messages().expect("events decode");
        for event in events.iter().map(Happened::from).filter(|event| !event.is_put) {
            let id =
                std::str::from_utf8(&event.key[2..]).ok().and_then(|id| id.parse().ok()).expect("it ends with an id");
            deleted.insert(id, Instant::now());
        }
    }
    deleted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keep_alive_at_the_last_moment_holds_for_the_whole_ttl_or_finds_the_keys_gone() {
    const LEASES: i64 = 200;
    let node = on_two_threads().await;
    let client = node.client().await;
    let watching = tokio::spawn(deletions(Watching::of(&client, watch_prefix("k/")).await, LEASES));
    let mut owners = JoinSet::new();
    for id in 1..=LEASES {
        let client = client.clone();
        owners.spawn(async move {
            let mut last = Instant::now();
            client.grant(id, 2).await.unwrap();
            client.try_put(leased(&format!("k/{id}"), "1", id)).await.unwrap();
            let mut stream = client.keep_alive().await;
            for _ in 0..2 {
                sleep_until(around_the_end(last, id, LEASES)).await;
                let asked = Instant::now();
                if stream.renew(id).await == 0 {
                    assert!(client.get(&format!("k/{id}")).await.is_none(), "lease {id} is gone and its key is not");
                    break;
                }
                last = asked;
            }
            (id, last)
        });
    }
    let last_renewals = owners.join_all().await;
    let deleted = watching.await.unwrap();
    for (id, last) in last_renewals {
        assert!(deleted[&id] >= last + TTL, "lease {id} went {:?} after it was kept alive", deleted[&id] - last);
    }
    assert!(client.leases().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_under_a_lease_that_expires_goes_with_it_or_is_refused() {
    const LEASES: i64 = 30;
    let node = on_two_threads().await;
    let client = node.client().await;
    let mut writers = JoinSet::new();
    for id in 1..=LEASES {
        let client = client.clone();
        writers.spawn(async move {
            let granted = Instant::now();
            client.grant(id, 2).await.unwrap();
            for n in 0.. {
                let request = leased(&format!("k/{id}/{n}"), "1", id);
                let answer = match n % 2 {
                    0 => client.try_put(request).await.map(drop),
                    _ => client.txn(txn(vec![request.op()])).await.map(drop),
                };
                if answer.is_err() {
                    assert_eq!(refusal(answer), gone());
                    assert!(granted.elapsed() >= TTL, "lease {id} went after {:?}", granted.elapsed());
                    let left = client.range(prefix(&format!("k/{id}/"))).await;
                    assert!(left.is_empty(), "{} of {n} keys are left under the dead lease {id}", left.len());
                    return n;
                }
            }
            unreachable!("it is refused before numbers end")
        });
    }
    let acknowledged = writers.join_all().await;
    assert!(acknowledged.iter().all(|puts| *puts > 0), "{acknowledged:?}");
    assert!(client.leases().await.is_empty());
    assert!(client.range(prefix("k/")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_granted_anew_as_it_expires_lives_its_whole_ttl() {
    const LEASES: i64 = 200;
    let node = on_two_threads().await;
    let client = node.client().await;
    let mut owners = JoinSet::new();
    for id in 1..=LEASES {
        let client = client.clone();
        owners.spawn(async move {
            let granted = Instant::now();
            client.grant(id, 2).await.unwrap();
            sleep_until(around_the_end(granted, id, LEASES)).await;
            let revoked = client.revoke(id).await;
            if revoked.is_err() {
                assert_eq!(refusal(revoked), gone());
            }
            client.grant(id, 600).await.unwrap();
            client.try_put(leased(&format!("k/{id}"), "1", id)).await.unwrap();
        });
    }
    owners.join_all().await;
    // Whatever was on its way has been applied once a lease of the shortest TTL has come and gone.
    client.grant(LEASES + 1, 2).await.unwrap();
    eventually(SOON, "it expires", async || !client.leases().await.contains(&(LEASES + 1))).await;
    assert_eq!(client.leases().await, (1..=LEASES).collect::<Vec<_>>());
    assert_eq!(client.range(prefix("k/")).await.len(), usize::try_from(LEASES).unwrap());
}

/// Puts, reads and keeps a lease alive until `done`; returns how often, and what the slowest round took.
async fn use_it(client: Client, done: Arc<AtomicBool>) -> (usize, Duration) {
    let mut stream = client.keep_alive().await;
    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while !done.load(Ordering::SeqCst) {
        let begin = Instant::now();
        client.put("used", "1").await;
        assert!(client.get("used").await.is_some());
        assert_eq!(stream.renew(1_000_000).await, 30);
        slowest = slowest.max(begin.elapsed());
        rounds += 1;
        sleep_until(begin + POLL).await;
    }
    (rounds, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_leases_that_end_within_a_second_go_in_bounded_time_and_others_are_served() {
    const LEASES: i64 = 20_000;
    const GRANTERS: i64 = 500;
    /// Granting all of them should be over by then.
    const UNTIL_THE_END: Duration = Duration::from_secs(15);
    const SHORTEST: Duration = Duration::from_secs(4);
    /// At a thousand a second at least.
    const LIMIT: Duration = Duration::from_secs(20);
    let node = EmbeddedNode::start_with(|config| {
        config.worker_threads = Some(2);
        // What is acknowledged here need not outlive anything, and granting is most of the test.
        config.unsafe_no_fsync = true;
    })
    .await;
    let client = node.client().await;
    client.grant(1_000_000, 30).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let using = tokio::spawn(use_it(node.client().await, done.clone()));
    let end = Instant::now() + UNTIL_THE_END;
    let mut grants = JoinSet::new();
    for granter in 0..GRANTERS {
        let client = client.clone();
        grants.spawn(async move {
            for id in (1..=LEASES).filter(|id| id % GRANTERS == granter) {
                // The next whole second after the end, so that all end within one; time enough for a put at least.
                let ttl = end.saturating_duration_since(Instant::now()).max(SHORTEST).as_secs() + 1;
                client.grant(id, ttl.cast_signed()).await.unwrap();
                if id % 10 == 0 {
                    client.try_put(leased(&format!("k/{id}"), "1", id)).await.unwrap();
                }
            }
        });
    }
    grants.join_all().await;
    let end = end.max(Instant::now() + SHORTEST) + Duration::from_secs(1);
    sleep_until(end).await;
    eventually(LIMIT, "all are gone", async || client.leases().await == [1_000_000]).await;
    let took = end.elapsed();
    done.store(true, Ordering::SeqCst);
    let (rounds, slowest) = using.await.unwrap();
    println!("all gone {took:?} after the last deadline; {rounds} rounds of others, the slowest took {slowest:?}");
    assert!(client.range(prefix("k/")).await.is_empty());
    assert!(rounds > 0 && slowest < SOON, "{rounds} rounds, the slowest took {slowest:?}");
}
