//! A small service against an embedded node: every figure is there, and nothing is lost on the way to it.

use std::time::Duration;

use registry_bench::instances::{self, Plan};
use registry_bench::progress::Progress;
use registry_server::server::{Config, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_figure_of_a_small_service_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        unsafe_no_fsync: true,
        ..Config::default()
    };
    let node = Server::start(config).await.unwrap();
    let (rest, ttl) = (Duration::from_millis(500), Duration::from_secs(60));
    let plan = Plan { instances: 200, clients: 3, changes: 5, rest, ttl, connections: 4 };
    let progress = Progress::new();
    let figures = instances::measure(node.client_url(), std::process::id(), &plan, &progress).await.unwrap();
    assert_eq!(figures.changes.len(), 15);
    assert!(figures.changes.is_sorted() && figures.first_snapshots.len() == 5 && figures.client_bytes > 0);
    assert!(figures.keep_alives_per_second >= 2.0, "200 leases each 20 s: {figures:?}");
    assert_eq!(instances::rows(&plan, &figures).len(), 7);
    node.shutdown().await.unwrap();
}
