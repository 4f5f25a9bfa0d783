//! `/metrics` of whole nodes, read as a scraper does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::*;
use tempfile::TempDir;

use super::front_tests::{Channel, raw};
use super::{Config, Running, Server};

/// What a scrape found. Parsing it checks the format.
struct Scrape {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let mut scrape = Self { types: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut family) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').unwrap().0.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(helped, name, "help and type belong together");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} stands twice");
                name.clone_into(&mut family);
            } else {
                scrape.sample(line, &family);
            }
        }
        assert!(text.ends_with('\n'));
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no sample"));
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        let suffixes: &[_] = if self.types[family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line} is not of {family}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let labels = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
            for label in labels.split("\",") {
                assert!(label.contains("=\""), "{line}");
            }
        }
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "{series} stands twice");
    }

    fn check_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let of_name = |suffix| {
                let prefix = format!("{name}_{suffix}");
                self.samples.iter().filter_map(move |(series, value)| Some((series.strip_prefix(&prefix)?, *value)))
            };
            for (labels, count) in of_name("count") {
                let labels = labels.trim_end_matches('}');
                let opening = if labels.is_empty() { "{".to_owned() } else { format!("{labels},") };
                let buckets: Vec<_> = of_name("bucket").filter(|(series, _)| series.starts_with(&opening)).collect();
                let all = buckets.iter().find(|(series, _)| series.ends_with("le=\"+Inf\"}")).unwrap();
                assert_eq!(all.1, count, "{name}{labels}");
                assert!(buckets.iter().all(|(_, value)| *value <= count), "{name}{labels}");
            }
        }
    }

    fn get(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} is missing"))
    }

    fn handled(&self, method: &str, code: &str) -> f64 {
        let found = self.samples.iter().find(|(series, _)| {
            series.starts_with(&format!("grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\""))
        });
        *found.unwrap_or_else(|| panic!("{method} {code} is missing")).1
    }
}

async fn start(change: impl FnOnce(&mut Config)) -> (TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: dir.path().join("data"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    change(&mut config);
    let node = Server::start(config).await.unwrap();
    (dir, node)
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn get(url: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    String::from_utf8(raw(address(url), request.as_bytes()).await).unwrap()
}

async fn scrape(url: &str) -> Scrape {
    let answer = get(url, "/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    Scrape::parse(body)
}

/// Scrapes until `holds`.
async fn scrape_until(url: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let waiting = async {
        loop {
            let scrape = scrape(url).await;
            if holds(&scrape) {
                return scrape;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the figures never came")
}

async fn kv(node: &Running) -> KvClient<Channel> {
    KvClient::new(Channel::connect(address(node.client_url())).await)
}

fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: "value".into(), ..PutRequest::default() }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

#[tokio::test]
async fn the_families_have_etcds_names_and_types() {
    let (_dir, node) = start(|_| {}).await;
    let scrape = scrape(node.client_url()).await;
    let of = |kind: &'static str, names: &'static str| names.split_whitespace().map(move |name| (name, kind));
    let gauges = "etcd_server_has_leader etcd_server_is_leader etcd_server_is_learner etcd_server_version etcd_server_id \
        etcd_cluster_version etcd_debugging_server_alarms etcd_server_quota_backend_bytes etcd_server_proposals_committed_total \
        etcd_server_proposals_applied_total etcd_server_proposals_pending etcd_mvcc_db_total_size_in_bytes \
        etcd_mvcc_db_total_size_in_use_in_bytes etcd_debugging_mvcc_keys_total etcd_debugging_mvcc_watch_stream_total \
        etcd_debugging_mvcc_watcher_total etcd_debugging_mvcc_slow_watcher_total \
        etcd_debugging_mvcc_current_revision etcd_debugging_mvcc_compact_revision process_open_fds process_max_fds \
        process_resident_memory_bytes process_virtual_memory_bytes process_start_time_seconds os_fd_used os_fd_limit";
    let counters = "etcd_server_leader_changes_seen_total etcd_server_proposals_failed_total \
        etcd_server_slow_apply_total etcd_server_read_indexes_failed_total etcd_mvcc_put_total etcd_mvcc_delete_total \
        etcd_mvcc_range_total etcd_mvcc_txn_total etcd_debugging_mvcc_events_total \
        etcd_debugging_server_lease_expired_total etcd_debugging_lease_granted_total \
        etcd_debugging_lease_revoked_total etcd_debugging_lease_renewed_total \
        etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total \
        grpc_server_started_total grpc_server_handled_total grpc_server_msg_received_total \
        grpc_server_msg_sent_total process_cpu_seconds_total";
    let histograms = "etcd_disk_wal_fsync_duration_seconds etcd_disk_backend_commit_duration_seconds";
    for (name, kind) in of("gauge", gauges).chain(of("counter", counters)).chain(of("histogram", histograms)) {
        assert_eq!(scrape.types.get(name).map(String::as_str), Some(kind), "{name}");
    }
    assert_eq!((scrape.get("etcd_server_has_leader"), scrape.get("etcd_server_is_leader")), (1.0, 1.0));
    assert_eq!(scrape.get("etcd_server_version{server_version=\"3.7.1\"}"), 1.0);
    assert_eq!(scrape.get("etcd_server_leader_changes_seen_total"), 1.0);
    assert!(scrape.get("process_resident_memory_bytes") > 1e6);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn requests_move_the_counters() {
    let (_dir, node) = start(|config| config.warning_apply_duration = Duration::ZERO).await;
    let applied = "etcd_server_proposals_applied_total";
    // The membership, the leader's first entry, and what this member tells of itself; the figure may lag behind the answer.
    let before = scrape_until(node.client_url(), |scrape| scrape.get(applied) >= 2.0).await;
    let mut kv = kv(&node).await;
    for key in ["a", "b", "c"] {
        kv.put(put(key)).await.unwrap();
    }
    kv.range(range("a")).await.unwrap();
    kv.range(range("")).await.unwrap_err();
    kv.delete_range(DeleteRangeRequest { key: "a".into(), ..Default::default() }).await.unwrap();
    let op = || RequestOp { request: Some(request_op::Request::RequestPut(put("d"))) };
    let get = RequestOp { request: Some(request_op::Request::RequestRange(range("d"))) };
    kv.txn(TxnRequest { success: vec![op(), get], ..TxnRequest::default() }).await.unwrap();
    let mut lease = LeaseClient::new(Channel::connect(address(node.client_url())).await);
    let id = lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await.unwrap().into_inner().id;
    let keep_alive = tokio_stream::once(LeaseKeepAliveRequest { id });
    lease.lease_keep_alive(keep_alive).await.unwrap().into_inner().message().await.unwrap().unwrap();
    lease.lease_revoke(LeaseRevokeRequest { id }).await.unwrap();

    let all_seen = |scrape: &Scrape| {
        scrape.handled("LeaseKeepAlive", "OK") > 0.0 && scrape.get(applied) >= before.get(applied) + 7.0
    };
    let after = scrape_until(node.client_url(), all_seen).await;
    let rise = |series: &str| after.get(series) - before.get(series);
    let mvcc = ["put", "delete", "range", "txn"].map(|kind| rise(&format!("etcd_mvcc_{kind}_total")));
    assert_eq!(mvcc, [4.0, 1.0, 2.0, 1.0]);
    let lease = ["granted", "renewed", "revoked"].map(|kind| rise(&format!("etcd_debugging_lease_{kind}_total")));
    assert_eq!(lease, [1.0, 1.0, 1.0]);
    let labels = "{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}";
    for family in ["started", "msg_received", "msg_sent"] {
        assert_eq!(rise(&format!("grpc_server_{family}_total{labels}")), 3.0, "{family}");
    }
    assert_eq!((after.handled("Put", "OK"), after.handled("Range", "OK")), (3.0, 1.0));
    assert_eq!(after.handled("Range", "InvalidArgument"), 1.0);
    assert!(rise("etcd_network_client_grpc_received_bytes_total") > 3.0 * 8.0);
    assert!(rise("etcd_network_client_grpc_sent_bytes_total") > 0.0);
    assert_eq!(rise("etcd_debugging_mvcc_keys_total"), 3.0);
    // Every command was slow, as nothing may take any time here.
    assert_eq!(rise("etcd_server_slow_apply_total"), 7.0);
    assert_eq!(rise(applied), 7.0);
    assert!(rise("etcd_disk_wal_fsync_duration_seconds_count") >= 7.0);
    assert!(rise("etcd_disk_backend_commit_duration_seconds_count") >= 7.0);
    assert_eq!(after.get("etcd_server_proposals_pending"), 0.0);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn watchers_count_while_they_watch_and_events_once_they_are_sent() {
    let (_dir, node) = start(|_| {}).await;
    let mut kv = kv(&node).await;
    kv.put(put("a")).await.unwrap();
    let mut client = WatchClient::new(Channel::connect(address(node.client_url())).await);
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    let create = WatchCreateRequest { key: "a".into(), start_revision: 2, ..Default::default() };
    for _ in 0..2 {
        let request_union = Some(RequestUnion::CreateRequest(create.clone()));
        sender.send(WatchRequest { request_union }).await.unwrap();
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = client.watch(requests).await.unwrap().into_inner();
    let figures = |scrape: &Scrape| {
        ["watch_stream", "watcher", "slow_watcher", "events"]
            .map(|name| scrape.get(&format!("etcd_debugging_mvcc_{name}_total")))
    };
    // From history, and then live.
    scrape_until(node.client_url(), |scrape| figures(scrape) == [1.0, 2.0, 0.0, 2.0]).await;
    kv.put(put("a")).await.unwrap();
    scrape_until(node.client_url(), |scrape| figures(scrape) == [1.0, 2.0, 0.0, 4.0]).await;
    assert!(answers.message().await.unwrap().is_some());
    drop((sender, answers, client));
    scrape_until(node.client_url(), |scrape| figures(scrape) == [0.0, 0.0, 0.0, 4.0]).await;
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_nodes_in_one_process_do_not_mix() {
    let ((_first_dir, first), (_second_dir, second)) = (start(|_| {}).await, start(|_| {}).await);
    kv(&first).await.put(put("a")).await.unwrap();
    let (first_scrape, second_scrape) = (scrape(first.client_url()).await, scrape(second.client_url()).await);
    for series in ["etcd_mvcc_put_total", "etcd_debugging_mvcc_keys_total"] {
        assert_eq!((first_scrape.get(series), second_scrape.get(series)), (1.0, 0.0), "{series}");
    }
    assert_eq!((first_scrape.handled("Put", "OK"), second_scrape.handled("Put", "OK")), (1.0, 0.0));
    assert_eq!(second_scrape.get("etcd_network_client_grpc_received_bytes_total"), 0.0);
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn extra_urls_serve_figures_and_health_and_no_grpc() {
    let (_dir, node) = start(|config| config.listen_metrics_urls = vec!["http://127.0.0.1:0".parse().unwrap()]).await;
    let [url] = node.metrics_urls() else { panic!("{:?}", node.metrics_urls()) };
    assert_eq!(scrape(url).await.get("etcd_server_has_leader"), 1.0);
    assert!(get(url, "/health").await.ends_with(r#"{"health":"true","reason":""}"#));
    let mut kv = KvClient::new(Channel::connect(address(url)).await);
    kv.put(put("a")).await.unwrap_err();
    node.shutdown().await.unwrap();
}
