//! A cluster of three that were each restored from the same snapshot of etcd's.

use std::path::Path;

use registry_tests::budget::SOON;
use registry_tests::{Client, ETCD, Etcd, Node, Port, etcdctl, eventually};
use tempfile::TempDir;

use crate::NODE;
use crate::history::{COMPACTED_THERE, see_from, write_compacted};
use crate::tools::{TEXT, say};

/// Those of the snapshot, and one that is added.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct Plan {
    dir: TempDir,
    ports: [Port; 4],
}

impl Plan {
    fn cluster(&self, members: usize) -> String {
        let member = |number: usize| format!("{}={}", NAMES[number], self.ports[number].url());
        (0..members).map(member).collect::<Vec<_>>().join(",")
    }

    fn restore(&self, file: &str, member: usize) {
        let (name, peer_url, cluster) = (NAMES[member], self.ports[member].url(), self.cluster(3));
        let data_dir = self.dir.path().join(NAMES[member]);
        let arguments = ["snapshot", "restore", file, "--name", name, "--data-dir", data_dir.to_str().expect(TEXT)];
        let flags = ["--initial-cluster", &cluster, "--initial-advertise-peer-urls", &peer_url];
        say(Path::new(etcdctl::PATH), &[&arguments[..], &flags[..]].concat());
    }

    async fn start(&self, member: usize, flags: &[&str]) -> Node {
        let url = self.ports[member].url();
        let members = if member < 3 { 3 } else { 4 };
        let own = [
            format!("--name={}", NAMES[member]),
            format!("--listen-peer-urls={url}"),
            format!("--initial-advertise-peer-urls={url}"),
            format!("--initial-cluster={}", self.cluster(members)),
        ];
        let flags: Vec<_> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        let data_dir = self.dir.path().join(NAMES[member]);
        Node::try_start(NODE, &data_dir, &flags).await.unwrap_or_else(|refused| panic!("{refused}"))
    }
}

#[tokio::test]
async fn three_that_are_restored_from_one_snapshot_are_a_cluster_and_a_fourth_gets_all_of_it() {
    if !etcdctl::is_there() || !Etcd::is_there() {
        return;
    }
    let plan = Plan { dir: TempDir::new().unwrap(), ports: std::array::from_fn(|_| Port::take()) };
    let peer = Etcd::start_on(Path::new(ETCD), &plan.dir.path().join("etcd")).await;
    let client = Client::connect(peer.url()).await;
    let newest = write_compacted(&client, COMPACTED_THERE).await;
    let seen = see_from(&client, COMPACTED_THERE).await;
    let file = plan.dir.path().join("snapshot.db").to_str().unwrap().to_owned();
    etcdctl::say(peer.url().trim_start_matches("http://"), &["snapshot", "save", &file]);
    drop(peer);
    (0..3).for_each(|member| plan.restore(&file, member));
    let (a, mut b, c) = tokio::join!(plan.start(0, &[]), plan.start(1, &[]), plan.start(2, &[]));
    for node in [&a, &b, &c] {
        assert!(see_from(&node.client().await, COMPACTED_THERE).await == seen);
    }
    assert_eq!(a.client().await.put("from", "a").await, newest + 1);
    assert_eq!(c.client().await.value("from").await.unwrap(), "a");
    b.kill9();
    assert_eq!(c.client().await.put("from", "c").await, newest + 2);
    b.start_again().await;
    assert_eq!(b.client().await.value("from").await.unwrap(), "c");
    let url = plan.ports[3].url();
    etcdctl::say(a.address(), &["member", "add", "d", &format!("--peer-urls={url}")]);
    let d = plan.start(3, &["--initial-cluster-state=existing"]).await;
    assert!(!d.log_contains("etcd's data was taken over"));
    assert_eq!(d.client().await.value("from").await.unwrap(), "c");
    let listed = || etcdctl::say(d.address(), &["member", "list"]).matches("started").count();
    eventually(SOON, "all four have told their names", async || listed() == 4).await;
}
