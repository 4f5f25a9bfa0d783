//! Scenario 6: the registry is down for long, clients restart on their disk cache, and it comes back to all of them.
//!
//! `HERD_CLIENTS=2000 HERD_DOWN_SECONDS=60 cargo test --release -p registry-tests --test sdk g13_clients_that_restart
//! -- --nocapture` is the documented run; each client has a thread, a connection and a watch of its own.

use std::time::Duration;

use registry_client::{Freshness, Registry, ServiceWatch};
use registry_testing::TestRegistry;
use registry_tests::{budget, eventually, figures, within};
use tokio::time::{Instant, sleep};

const INSTANCES: usize = 20;
/// How often it is looked what the registry was asked.
const LOOK: Duration = Duration::from_millis(100);
/// When the last client is back: thousands of them in one process keep two cores busy for a while.
const COME_BACK: Duration = Duration::from_secs(180);
/// Looks in the second that the peak is of.
const LOOKS: usize = 10;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
}

fn is_fresh(watch: &ServiceWatch) -> bool {
    watch.snapshot().freshness() == Freshness::Synced
}

/// Leaves a cache behind as a client does that ends.
async fn warm(servers: &TestRegistry, folder: &std::path::Path) {
    for number in 0..INSTANCES {
        let record = r#"{"version":1,"endpoints":{"grpc":{"url":"http://10.0.0.7:9000"}}}"#;
        servers.put(&format!("/services/pay/{number}"), record).await.unwrap();
    }
    let registry = Registry::builder(servers.endpoints()).cache_dir(folder).build().unwrap();
    let watch = registry.watch("pay").start().unwrap();
    within(watch.synced()).await.unwrap();
    let is_named =
        |file: std::io::Result<std::fs::DirEntry>| file.unwrap().path().extension().is_some_and(|it| it == "json");
    eventually(budget::SOON, "it is written", || async { folder.read_dir().unwrap().any(is_named) }).await;
}

/// How many lists and watches the registry was asked for, in all.
async fn asked(url: &str) -> u64 {
    figures::calls(url, "Range").await + figures::calls(url, "Watch").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_clients_that_restart_without_a_registry_live_on_their_cache_and_come_back_in_a_spread() {
    let (clients, down) = (setting("HERD_CLIENTS", 60), setting("HERD_DOWN_SECONDS", 8));
    let mut servers = TestRegistry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    warm(&servers, folder.path()).await;
    servers.stop(0).await.unwrap();

    let began = Instant::now();
    let restart = |_| {
        let registry = Registry::builder(servers.endpoints()).cache_dir(folder.path()).build().unwrap();
        let watch = registry.watch("pay").start().unwrap();
        (registry, watch)
    };
    let restarted: Vec<_> = (0..clients).map(restart).collect();
    let mut from_cache = 0;
    for (_, watch) in &restarted {
        let synced = within(watch.synced()).await.is_ok();
        from_cache += usize::from(synced && !is_fresh(watch) && watch.snapshot().instances().len() == INSTANCES);
    }
    println!("{from_cache} of {clients} clients have all instances from their cache after {:?}", began.elapsed());
    assert_eq!(from_cache, clients);

    sleep(Duration::from_secs(down as u64)).await;
    assert!(restarted.iter().all(|(_, watch)| watch.snapshot().instances().len() == INSTANCES));
    servers.start_again(0).await.unwrap();
    let (url, back) = (servers.endpoints()[0].clone(), Instant::now());
    let mut looks = vec![0];
    let mut missing: Vec<_> = restarted.iter().map(|(_, watch)| watch).collect();
    while !missing.is_empty() {
        assert!(back.elapsed() < COME_BACK, "{} of {clients} are not back after {COME_BACK:?}", missing.len());
        sleep(LOOK).await;
        looks.push(asked(&url).await);
        missing.retain(|watch| !is_fresh(watch));
    }
    let most = |looks_each: usize| looks.windows(looks_each + 1).map(|all| all[looks_each] - all[0]).max().unwrap_or(0);
    let (second, tenth, all) = (most(LOOKS), most(1), looks.last().copied().unwrap_or(0));
    println!("{all} lists and watches in {:?}; at most {second} a second and {tenth} in 100 ms", back.elapsed());
    // A list and a watch each, however long it was away; and not all at once.
    assert!(all <= 2 * clients as u64 + 2, "{all} requests of {clients} clients");
    assert!(second <= all * 3 / 4, "{second} of {all} requests in one second");
}
