//! `/metrics` has what etcd's published dashboard and alert rules ask for, under its names and with its labels.

use std::collections::BTreeMap;

use registry_proto::etcdserverpb::{DefragmentRequest, StatusRequest};
use registry_tests::budget::SOON;
use registry_tests::requests::put;
use registry_tests::{Cluster, Plan, Program, Watching, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every name in the dashboards and alerts of etcd's `contrib/mixin`, with the labels that their expressions use.
/// `up` and `ALERTS` are Prometheus' own.
const ASKED_FOR: [(&str, &[&str]); 21] = [
    ("etcd_disk_backend_commit_duration_seconds_bucket", &["le"]),
    ("etcd_disk_wal_fsync_duration_seconds_bucket", &["le"]),
    ("etcd_mvcc_db_total_size_in_bytes", &[]),
    ("etcd_mvcc_db_total_size_in_use_in_bytes", &[]),
    ("etcd_network_client_grpc_received_bytes_total", &[]),
    ("etcd_network_client_grpc_sent_bytes_total", &[]),
    ("etcd_network_peer_received_bytes_total", &["From"]),
    ("etcd_network_peer_round_trip_time_seconds_bucket", &["To", "le"]),
    ("etcd_network_peer_sent_bytes_total", &["To"]),
    ("etcd_network_peer_sent_failures_total", &["To"]),
    ("etcd_server_has_leader", &[]),
    ("etcd_server_leader_changes_seen_total", &[]),
    ("etcd_server_proposals_applied_total", &[]),
    ("etcd_server_proposals_committed_total", &[]),
    ("etcd_server_proposals_failed_total", &[]),
    ("etcd_server_proposals_pending", &[]),
    ("etcd_server_quota_backend_bytes", &[]),
    ("grpc_server_handled_total", &["grpc_code", "grpc_method", "grpc_service", "grpc_type"]),
    ("grpc_server_handling_seconds_bucket", &["grpc_method", "grpc_service", "grpc_type", "le"]),
    ("grpc_server_started_total", &["grpc_method", "grpc_service", "grpc_type"]),
    ("process_resident_memory_bytes", &[]),
];

/// The samples of a scrape: name and labels, and the value.
async fn scrape(url: &str) -> BTreeMap<String, f64> {
    let address = url.strip_prefix("http://").expect("it is plain HTTP");
    let mut stream = TcpStream::connect(address).await.expect("the node serves");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("the node reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the node answers");
    let lines = answer
        .lines()
        .filter(|line| line.starts_with("etcd_") || line.starts_with("grpc_") || line.starts_with("process_"));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        (series.to_owned(), value.parse().expect("values are numbers"))
    };
    lines.map(sample).collect()
}

/// The series of a name.
fn of<'a>(samples: &'a BTreeMap<String, f64>, name: &str) -> Vec<(&'a str, f64)> {
    let series = samples.iter().filter(|(series, _)| series.split('{').next() == Some(name));
    series.map(|(series, value)| (series.as_str(), *value)).collect()
}

/// The labels of a series, in order.
fn labels(series: &str) -> Vec<&str> {
    let Some((_, labels)) = series.split_once('{') else { return Vec::new() };
    labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name).collect()
}

async fn three_with_traffic() -> Cluster {
    let cluster = Cluster::start(Plan::new(Program::Registry(env!("CARGO_BIN_EXE_node").into()), 3)).await;
    for client in cluster.clients() {
        let _watching = Watching::of(&client, registry_tests::requests::watch("a")).await;
        client.try_put(put("a", "1")).await.expect("the put is accepted");
        client.maintenance.clone().status(StatusRequest {}).await.expect("status is answered");
        client.maintenance.clone().defragment(DefragmentRequest {}).await.expect("defragmenting is accepted");
    }
    cluster
}

#[tokio::test]
async fn every_name_and_label_of_etcds_dashboard_and_alerts_is_there_on_each_member() {
    let cluster = three_with_traffic().await;
    for member in 0..3 {
        let url = cluster.url(member);
        let measured = async || {
            let samples = scrape(&url).await;
            of(&samples, "etcd_network_peer_round_trip_time_seconds_count")
                .iter()
                .filter(|(_, count)| *count > 0.0)
                .count()
                == 2
        };
        eventually(SOON, "both peers are measured", measured).await;
        let samples = scrape(&url).await;
        let missing = ASKED_FOR.iter().filter(|(name, asked)| {
            let series = of(&samples, name);
            series.is_empty() || series.iter().any(|(series, _)| labels(series) != *asked)
        });
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[tokio::test]
async fn what_passes_between_members_is_counted_at_both_ends() {
    let mut cluster = three_with_traffic().await;
    let leader = cluster.wait_for_leader().await;
    let url = cluster.url(leader);
    let (follower, other) = (cluster.others(leader)[0], cluster.others(leader)[1]);
    let id = |cluster: &Cluster, member| format!("{:x}", cluster.id(member));
    let sent_to = format!("etcd_network_peer_sent_bytes_total{{To=\"{}\"}}", id(&cluster, follower));
    let received = format!("etcd_network_peer_received_bytes_total{{From=\"{}\"}}", id(&cluster, leader));
    let before = (scrape(&url).await[&sent_to], scrape(&cluster.url(follower)).await[&received]);
    let value = vec![b'v'; 100_000];
    cluster.client(leader).try_put(put("large", value)).await.unwrap();
    eventually(SOON, "the value is counted", async || {
        let after = (scrape(&url).await[&sent_to], scrape(&cluster.url(follower)).await[&received]);
        after.0 - before.0 > 100_000.0 && after.1 - before.1 > 100_000.0
    })
    .await;
    cluster.kill(other);
    let failures = format!("etcd_network_peer_sent_failures_total{{To=\"{}\"}}", id(&cluster, other));
    let before = scrape(&url).await[&failures];
    eventually(SOON, "failures are counted", async || scrape(&url).await[&failures] > before).await;
}

#[tokio::test]
async fn calls_are_timed_by_method() {
    let cluster = three_with_traffic().await;
    let samples = scrape(&cluster.url(0)).await;
    let of_put = "{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}";
    assert_eq!(samples[&format!("grpc_server_handling_seconds_count{of_put}")], 1.0);
    let sum = samples[&format!("grpc_server_handling_seconds_sum{of_put}")];
    assert!(sum > 0.0 && sum < 10.0, "{sum}");
    assert!(!samples.keys().any(|series| series.contains("handling") && series.contains("MemberAdd")));
}
