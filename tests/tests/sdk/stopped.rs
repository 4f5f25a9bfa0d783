//! Scenario 5: a client that stands still while instances go and history is compacted.
//!
//! `STOPPED_SECONDS=60 cargo test -p registry-tests --test sdk g13_a_stopped_client -- --nocapture` is the minute that the
//! scenario asks for; the suite makes do with three seconds, as it is what happens meanwhile that counts.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use registry_tests::{Client, Node, budget, figures, requests};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::Instant;

const INSTANCES: usize = 50;
/// Changes while it stands still, each of so many bytes: more than what waits for one watch on the way.
const CHANGES: usize = 4_000;
const CHANGE_BYTES: usize = 8 << 10;

/// The process that watches. It ends with the test.
struct Watcher {
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn start(url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
        command.args(["pay", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (line, lines) = sync_channel(1_000);
        // Ends with the child's output, or with the test.
        drop(std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|read| line.send(read))
        }));
        Self { child, lines }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The first snapshot that is wanted, of those that come.
    async fn until(&self, what: &str, wanted: impl Fn(i64, bool, &[&str]) -> bool) {
        let deadline = Instant::now() + budget::SOON;
        loop {
            assert!(Instant::now() < deadline, "{what}: not in time");
            let Ok(line) = self.lines.try_recv() else {
                tokio::time::sleep(budget::POLL).await;
                continue;
            };
            let mut words = line.split(' ').filter(|word| !word.is_empty());
            let revision = words.next().and_then(|word| word.parse().ok()).unwrap();
            let is_fresh = words.next() == Some("fresh");
            if wanted(revision, is_fresh, &words.collect::<Vec<_>>()) {
                return;
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn key(number: usize) -> String {
    format!("/services/pay/{number:02}")
}

fn record(note: &str) -> String {
    format!(r#"{{"version":1,"endpoints":{{"grpc":{{"url":"http://10.0.0.7:9000"}}}},"metadata":{{"note":"{note}"}}}}"#)
}

/// All instances at once, each a change of its own.
async fn put_all(client: &Client, note: &str) {
    let put = |number| {
        let (client, record) = (client.clone(), record(note));
        async move { client.put(&key(number), &record).await }
    };
    (0..INSTANCES).map(put).collect::<JoinSet<_>>().join_all().await;
}

/// Half of the instances go, behind changes that fill whatever lies between the server and the client.
async fn happen(client: &Client) -> i64 {
    let note = "x".repeat(CHANGE_BYTES);
    for _ in 0..CHANGES / INSTANCES {
        put_all(client, &note).await;
    }
    for gone in 0..INSTANCES / 2 {
        client.delete(requests::delete(&key(gone))).await.unwrap();
    }
    let revision = client.revision().await;
    client.compact(revision).await.unwrap();
    revision
}

#[tokio::test]
async fn g13_a_stopped_client_has_no_stale_endpoint_after_one_listing() {
    let stopped = std::env::var("STOPPED_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let node = Node::start(env!("CARGO_BIN_EXE_node"), &["--unsafe-no-fsync"]).await;
    let client = node.client().await;
    put_all(&client, "").await;
    let watcher = Watcher::start(node.url());
    watcher.until("all are known", |_, is_fresh, ids| is_fresh && ids.len() == INSTANCES).await;

    watcher.signal(Signal::STOP);
    let until = Instant::now() + Duration::from_secs(stopped);
    let revision = happen(&client).await;
    tokio::time::sleep_until(until).await;
    let listed_before = figures::calls(node.url(), "Range").await;
    watcher.signal(Signal::CONT);
    let resumed = Instant::now();
    watcher.until("it is current", |seen, is_fresh, ids| is_fresh && seen >= revision && ids.len() == 25).await;
    let current_after = resumed.elapsed();
    // One page holds all of them.
    let listings = figures::calls(node.url(), "Range").await - listed_before;
    println!("stopped for {stopped} s: current {current_after:?} after it went on, with {listings} listing");
    assert_eq!(listings, 1);
}
