//! A watcher that stops reading among many fast ones: what it costs them, and what it costs the server.
//!
//! The two servers of a comparison are child processes, so that their memory can be told apart.

use std::time::Duration;

use registry_tests::requests::{put, watch, watch_prefix};
use registry_tests::{Client, Happened, Node, Watching};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Syncs are no part of it.
const FLAGS: [&str; 1] = ["--unsafe-no-fsync"];
const FAST: usize = 200;
const STREAMS: usize = 20;
const CONNECTIONS: usize = 4;
const WRITERS: usize = 8;
/// Each fast watcher gets as many as the others.
const PUTS: usize = 8 * FAST;
const VALUE_BYTES: usize = 32 << 10;
/// What a stream that is not read may cost: 11 MiB (see `registry_server::watch::Limits`); the rest is what two
/// processes differ by. All events together are 50 MiB.
const STALLED_BYTES: u64 = 24 << 20;

/// What a run told.
struct Told {
    /// The fast watchers' lag that 99 in 100 events do not exceed.
    p99: Duration,
    /// The most memory that the server ever had.
    peak_bytes: u64,
}

fn name(number: usize) -> String {
    format!("k/{number:03}")
}

/// Streams of fast watchers, each of a key of its own; every event is read as it comes.
async fn fast_watchers(node: &Node) -> Vec<Watching> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(node.client().await);
    }
    let mut streams = Vec::new();
    for stream in 0..STREAMS {
        let mut watching = Watching::open(&connections[stream % CONNECTIONS]).await;
        for number in (stream..FAST).step_by(STREAMS) {
            assert!(watching.create(watch(&name(number))).await.created);
        }
        streams.push(watching);
    }
    streams
}

/// Reads what one stream gets and returns each event's lag. The value begins with the time of its put.
async fn read(mut watching: Watching, began: Instant) -> Vec<Duration> {
    let mut lags = Vec::new();
    while lags.len() < PUTS / STREAMS {
        let events = watching.answer().await.events.into_messages().expect("events decode");
        let now = began.elapsed();
        lags.extend(events.iter().map(|event| {
            let put_at = *Happened::from(event).value.first_chunk().expect("a value begins with a time");
            now - Duration::from_nanos(u64::from_be_bytes(put_at))
        }));
    }
    lags
}

async fn write(client: Client, writer: usize, began: Instant) {
    for number in (writer..PUTS).step_by(WRITERS) {
        let mut value = vec![0x55; VALUE_BYTES];
        let put_at = u64::try_from(began.elapsed().as_nanos()).expect("a test is over in 500 years");
        value[..8].copy_from_slice(&put_at.to_be_bytes());
        client.try_put(put(&name(number % FAST), value)).await.expect("the put is accepted");
    }
}

/// All puts, and all their events at the fast watchers.
async fn run(node: &Node) -> Duration {
    let began = Instant::now();
    let mut reading = JoinSet::new();
    for watching in fast_watchers(node).await {
        reading.spawn(read(watching, began));
    }
    let mut writing = JoinSet::new();
    for writer in 0..WRITERS {
        writing.spawn(write(node.client().await, writer, began));
    }
    writing.join_all().await;
    let mut lags = reading.join_all().await.concat();
    assert_eq!(lags.len(), PUTS);
    lags.sort_unstable();
    lags[PUTS * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_stops_reading_costs_the_others_no_time_and_the_server_a_bounded_amount_of_memory() {
    let alone = Node::start(env!("CARGO_BIN_EXE_node"), &FLAGS).await;
    let alone = Told { p99: run(&alone).await, peak_bytes: alone.peak_bytes() };

    let node = Node::start(env!("CARGO_BIN_EXE_node"), &FLAGS).await;
    let mut stalled = Watching::of(&node.client().await, watch_prefix("k/")).await;
    let p99 = run(&node).await;
    let revisions: Vec<_> = stalled.happened(PUTS).await.iter().map(|event| event.revision).collect();
    assert!(revisions.into_iter().eq(2..PUTS as i64 + 2), "a gap, or something twice");
    let with = Told { p99, peak_bytes: node.peak_bytes() };

    let extra_bytes = with.peak_bytes.saturating_sub(alone.peak_bytes);
    assert!(extra_bytes < STALLED_BYTES, "{extra_bytes} bytes more than {}", alone.peak_bytes);
    // A server that waits for a reader waits for ever. The factor is for what else the machine does.
    let limit = alone.p99 * 5 + Duration::from_millis(200);
    assert!(with.p99 < limit, "p99 lag {:?} instead of {:?}", with.p99, alone.p99);
    // It is live again.
    let revision = node.client().await.put(&name(0), "live").await;
    assert_eq!(stalled.happened(1).await[0].revision, revision);
}

#[tokio::test]
async fn a_compaction_in_the_middle_of_a_catch_up_cancels_it_where_history_ends() {
    let node = Node::start(env!("CARGO_BIN_EXE_node"), &FLAGS).await;
    let mut stalled = Watching::of(&node.client().await, watch_prefix("k/")).await;
    let began = Instant::now();
    let mut writing = JoinSet::new();
    for writer in 0..WRITERS {
        writing.spawn(write(node.client().await, writer, began));
    }
    writing.join_all().await;
    let mut next = 2;
    let mut compacted = None;
    let canceled = loop {
        let answer = stalled.answer().await;
        if answer.canceled {
            break answer;
        }
        for event in answer.events.into_messages().unwrap() {
            assert_eq!(event.kv.unwrap().mod_revision, next, "a gap that nobody told");
            next += 1;
        }
        // More than its queue held: this came out of history.
        if compacted.is_none() && next > PUTS as i64 / 3 {
            let client = node.client().await;
            let revision = client.revision().await;
            client.compact(revision).await.unwrap();
            compacted = Some((revision, next));
        }
    };
    let (revision, then) = compacted.expect("cancelled before there was a compaction");
    assert_eq!((canceled.watch_id, canceled.compact_revision), (0, revision));
    let since_bytes = (next - then) as u64 * VALUE_BYTES as u64;
    assert!(since_bytes < STALLED_BYTES, "{since_bytes} bytes had been taken out of history ahead of the reader");
}
