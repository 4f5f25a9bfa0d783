//! A tiny load against an embedded node: every kind of work, closed and open loop.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]

use std::time::Duration;

use registry_bench::BenchError;
use registry_bench::generator::{Generator, Measured};
use registry_bench::load::{Amount, Load, Work};
use registry_bench::progress::Progress;
use registry_bench::stall::{self, End, Stall};
use registry_bench::upkeep::{self, Chore, Upkeep};
use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;

async fn node() -> (Running, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    (Server::start(config).await.unwrap(), dir)
}

/// How often each key of the node was put.
async fn versions(url: &str) -> Vec<i64> {
    let channel = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
    let read = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
    let found = KvClient::new(channel).range(read).await.unwrap().into_inner();
    found.kvs.into_messages().unwrap().iter().map(|kv| kv.version).collect()
}

fn tiny(work: Work) -> Load {
    Load {
        work,
        clients: 4,
        connections: 2,
        threads: 2,
        amount: Amount::Ops(40),
        warmup: Duration::from_millis(20),
        key_space: 300,
        range_keys: 100,
        watchers: 10,
        ..Load::default()
    }
}

async fn measure(load: Load, url: &str) -> Result<Measured, BenchError> {
    let generator = Generator::start(load, &[url]).await?;
    generator.warm_up().await?;
    generator.measure(&mut |_, _| {}).await
}

#[tokio::test]
async fn every_work_does_exactly_the_operations_asked_for() {
    let (node, _dir) = node().await;
    for work in [Work::Put, Work::Get, Work::Range, Work::Txn, Work::KeepAlive, Work::Watch] {
        let measured = measure(tiny(work), node.client_url()).await.unwrap();
        // A watch counts events: each put arrives at each of the ten watchers.
        let wanted = if work == Work::Watch { 400 } else { 40 };
        assert_eq!((measured.operations, measured.latency.len()), (wanted, wanted), "{work:?}");
        assert!(measured.latency.max() > 0);
    }
    node.shutdown().await.unwrap();
}

/// Two servers that know nothing of each other, so that it shows where each put went.
#[tokio::test]
async fn connections_go_around_the_endpoints() {
    let ((first, _first_dir), (second, _second_dir)) = (node().await, node().await);
    let generator = Generator::connect(tiny(Work::Put), &[first.client_url(), second.client_url()]).await.unwrap();
    generator.measure(&mut |_, _| {}).await.unwrap();
    let puts = [versions(first.client_url()).await.len(), versions(second.client_url()).await.len()];
    assert!(puts.iter().sum::<usize>() == 40 && puts.iter().all(|puts| *puts > 0), "{puts:?}");
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn watchers_with_a_key_each_get_one_event_a_put() {
    let (node, _dir) = node().await;
    for rate in [None, Some(500.0)] {
        let load = Load { spread: true, rate, ..tiny(Work::Watch) };
        assert_eq!(measure(load, node.client_url()).await.unwrap().operations, 40);
    }
    node.shutdown().await.unwrap();
}

fn tiny_stall(compact: bool) -> Stall {
    // 12 MB: far more than the queue and the windows of a stream hold.
    let load = Load { spread: true, rate: Some(300.0), value_bytes: 40_000, ..tiny(Work::Watch) };
    let (stall, catch_up) = (Duration::from_secs(1), Duration::from_millis(200));
    Stall { load, stalled: 2, stall, catch_up, compact }
}

#[tokio::test]
async fn stalled_watchers_are_counted_to_the_last_event() {
    let (node, _dir) = node().await;
    let run = stall::measure(&tiny_stall(false), 2, node.client_url(), None, &Progress::new()).await.unwrap();
    assert_eq!((run.stall.operations, run.catch_up.operations, run.caught.len()), (300, 60, 2));
    for caught in &run.caught {
        assert_eq!((caught.events, caught.end), (360, End::Complete));
        assert!(caught.up_to_date_seconds.unwrap() <= caught.end_seconds);
    }
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn stalled_watchers_that_a_compaction_overtakes_are_reported_as_cancelled() {
    let (node, _dir) = node().await;
    let mut plan = tiny_stall(true);
    plan.load.value_bytes = 160_000;
    let run = stall::measure(&plan, 1, node.client_url(), None, &Progress::new()).await.unwrap();
    let caught = &run.caught[0];
    assert!(matches!(caught.end, End::Compacted { revision } if revision > caught.events as i64), "{caught:?}");
    assert!(caught.events < 300 && caught.up_to_date_seconds.is_none(), "{caught:?}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn each_chore_is_done_beside_the_puts_of_its_phase() {
    let (node, _dir) = node().await;
    let chores = vec![Chore::Defragment, Chore::Compact, Chore::Snapshot];
    let load = Load { rate: Some(200.0), ..tiny(Work::Put) };
    let plan = Upkeep {
        load,
        chores: chores.clone(),
        phase: Duration::from_millis(300),
        pause: Duration::from_millis(50),
        rounds: 2,
        overwrite: false,
    };
    let mut lines = Vec::new();
    let mut say = |line: &str| lines.push(line.to_owned());
    let rounds = upkeep::measure(&plan, "node", node.client_url(), None, &Progress::new(), &mut say).await.unwrap();
    assert_eq!(lines.len(), 8, "{lines:?}");
    for round in &rounds.rounds {
        assert!(round.iter().all(|run| run.figures.operations == 60), "{round:?}");
        assert_eq!(round.iter().map(|run| run.done.times > 0).collect::<Vec<_>>(), [false, true, true, true]);
        // An image has at least a few pages; the others send nothing.
        assert_eq!(round.iter().map(|run| run.done.bytes > 10_000).collect::<Vec<_>>(), [false, false, false, true]);
    }
    assert!(chores.iter().all(|chore| rounds.p99_ratio(*chore).is_some_and(|ratio| ratio.min > 0.0)));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_open_loop_keeps_its_rate() {
    let (node, _dir) = node().await;
    for work in [Work::Put, Work::Watch] {
        let load = Load { rate: Some(200.0), amount: Amount::Time(Duration::from_millis(300)), ..tiny(work) };
        let measured = measure(load, node.client_url()).await.unwrap();
        assert_eq!(measured.operations, if work == Work::Watch { 600 } else { 60 });
        assert!(measured.elapsed >= Duration::from_millis(290), "{:?}", measured.elapsed);
    }
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_operation_ends_the_measurement_with_the_servers_text() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        max_txn_ops: 4,
        ..Config::default()
    };
    let node = Server::start(config).await.unwrap();
    let failure = measure(tiny(Work::Txn), node.client_url()).await.unwrap_err();
    assert!(failure.to_string().contains("too many operations in txn request"), "{failure}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_key_is_put_again_before_each_phase_if_that_is_asked_for() {
    let (node, _dir) = node().await;
    let (phase, pause) = (Duration::from_millis(50), Duration::from_secs(60));
    let load = Load { rate: Some(20.0), ..tiny(Work::Put) };
    let plan = Upkeep { load, chores: vec![Chore::Defragment], phase, pause, rounds: 1, overwrite: true };
    let rounds =
        upkeep::measure(&plan, "node", node.client_url(), None, &Progress::new(), &mut |_| {}).await.unwrap().rounds;
    assert_eq!(rounds[0].iter().map(|run| run.done.times).collect::<Vec<_>>(), [0, 1]);
    let versions = versions(node.client_url()).await;
    assert!(versions.len() == 300 && versions.iter().all(|&version| version >= 3), "{versions:?}");
    node.shutdown().await.unwrap();
}
