//! Scenario 8, first part: what a client costs that does nothing while its service changes ten thousand times.
//!
//! `IDLE_SECONDS=60 cargo test -p registry-tests --test sdk g14_an_idle_client -- --nocapture` spreads the changes over a
//! minute; the suite makes them as fast as they go.

use std::time::Duration;

use registry_client::{Registry, Selector, ServiceWatch};
use registry_tests::{Client, Footprint, Node, budget, eventually, within};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const INSTANCES: usize = 100;
const CHANGES: usize = 10_000;
/// Changes between two looks.
const BETWEEN: usize = 2_000;
/// What the process may have grown between the two looks between which it grew least.
const GROWTH_KIB: usize = 250;

#[test]
fn g14_an_idle_client_is_current_after_10_000_changes_and_holds_flat_memory() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--ignored", "--exact", "--nocapture", "idle::alone_in_its_process"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    print!("{text}");
}

#[tokio::test]
#[ignore = "is run by the test above, alone in a process of its own"]
async fn alone_in_its_process() {
    let seconds = std::env::var("IDLE_SECONDS").map_or(0, |text| text.parse().unwrap());
    // A child process: what the server needs must not be counted as the client's.
    let server = Node::start(env!("CARGO_BIN_EXE_node"), &["--unsafe-no-fsync"]).await;
    let registry = Registry::builder([server.url()]).build().unwrap();
    let view = registry.watch("pay").start().unwrap().select(Selector::endpoint("grpc"));
    // Nobody polls it: what it is not asked for must not pile up.
    let _changes = view.changes();
    let (client, began) = (server.client().await, Instant::now());
    let mut looks = Vec::new();
    for round in 0..CHANGES / INSTANCES {
        let changed = (0..INSTANCES).map(|number| change(client.clone(), number, round * INSTANCES + number));
        changed.collect::<JoinSet<_>>().join_all().await;
        let change = round * INSTANCES + INSTANCES - 1;
        if change % BETWEEN == BETWEEN - 1 {
            sleep_until(began + Duration::from_secs(seconds) * (change as u32) / (CHANGES as u32)).await;
            looks.push(Footprint::of(std::process::id()).resident_kib);
        }
    }
    let revision = client.revision().await;
    let watch: &ServiceWatch = view.watch();
    eventually(budget::SOON, "it is current", || async { watch.snapshot().revision() == revision }).await;
    within(view.synced()).await.unwrap();
    let weights: Vec<_> = view.snapshot().instances().iter().map(|found| found.weight()).collect();
    assert!(weights.iter().all(|weight| *weight as usize >= CHANGES - INSTANCES) && weights.len() == INSTANCES);
    println!("KiB after each {BETWEEN} changes: {looks:?}");
    let least = looks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().expect("there are several looks");
    assert!(least <= GROWTH_KIB, "KiB after each {BETWEEN} changes: {looks:?}");
}

async fn change(client: Client, number: usize, weight: usize) {
    let record =
        format!(r#"{{"version":1,"weight":{weight},"endpoints":{{"grpc":{{"url":"http://10.0.0.7:9000"}}}}}}"#);
    client.put(&format!("/services/pay/{number:02}"), &record).await;
}
