//! `snapshot restore`: real etcds start from what it makes, with all that was in the snapshot.

use std::path::Path;

use crate::contents::{NEWEST, see, write};
use crate::peers::{Etcd, Peer, Place, peers};
use crate::{ctl, node, ran, says, text};

/// Restores a member that is alone and has this place.
fn restore_alone(file: &Path, data_dir: &Path, place: &Place, more: &[&str]) -> String {
    let (file, data_dir, cluster) = (text(file), text(data_dir), format!("default={}", place.peer));
    let line = ["snapshot", "restore", file, "--data-dir", data_dir, "--initial-cluster", &cluster];
    says(ctl(), &[&line[..], &["--initial-advertise-peer-urls", &place.peer], more].concat())
}

/// An etcd with contents, and its snapshot.
async fn saved(peer: &Peer, dir: &Path) -> Etcd {
    let etcd = Etcd::start(&peer.etcd, &dir.join("data"), &Place::free()).ready().await;
    write(&etcd.url);
    says(ctl(), &["--endpoints", &etcd.url, "snapshot", "save", text(&dir.join("saved.db"))]);
    etcd
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_goes_on_from_a_snapshot_of_any_other_version() {
    let peers = peers();
    for from in &peers {
        let dir = tempfile::tempdir().unwrap();
        let seen = see(&saved(from, dir.path()).await.url);
        for (number, to) in peers.iter().enumerate() {
            let (data_dir, place) = (dir.path().join(format!("new{number}")), Place::free());
            let told = restore_alone(&dir.path().join("saved.db"), &data_dir, &place, &[]);
            assert!(told.contains(&format!("revision {NEWEST}")), "{told}");
            let etcd = Etcd::start(&to.etcd, &data_dir, &place).ready().await;
            assert_eq!(see(&etcd.url), seen, "{from:?} to {to:?}");
            says(ctl(), &["--endpoints", &etcd.url, "put", "a", "new"]);
            // What it has written by itself it starts from, too.
            drop(etcd);
            let etcd = Etcd::start(&to.etcd, &data_dir, &place).ready().await;
            assert_eq!(says(ctl(), &["--endpoints", &etcd.url, "get", "a", "--print-value-only"]), "new\n");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_goes_on_from_a_snapshot_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let url = node.client_url().to_owned();
    write(&url);
    let seen = see(&url);
    let file = dir.path().join("saved.db");
    says(ctl(), &["--endpoints", &url, "snapshot", "save", text(&file)]);
    for (number, peer) in peers().iter().enumerate() {
        let (data_dir, place) = (dir.path().join(format!("new{number}")), Place::free());
        restore_alone(&file, &data_dir, &place, &[]);
        let etcd = Etcd::start(&peer.etcd, &data_dir, &place).ready().await;
        assert_eq!(see(&etcd.url), seen, "{peer:?}");
    }
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_found_a_cluster_from_one_snapshot() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let seen = see(&saved(&peer, dir.path()).await.url);
        let places = ["a", "b", "c"].map(|name| (name, Place::free()));
        let cluster = places.clone().map(|(name, place)| format!("{name}={}", place.peer)).join(",");
        let starts = places.map(|(name, place)| {
            let [file, data_dir, wal] = ["saved.db", name, &format!("wal-of-{name}")].map(|name| dir.path().join(name));
            let line = ["snapshot", "restore", text(&file), "--name", name, "--data-dir", text(&data_dir)];
            let founders = ["--initial-cluster", &cluster, "--initial-advertise-peer-urls", &place.peer];
            let more = ["--wal-dir", text(&wal), "--initial-cluster-token", "again"];
            says(ctl(), &[&line[..], &founders, &more].concat());
            Etcd::start_as(name, &peer.etcd, &data_dir, &place, &["--wal-dir", text(&wal)])
        });
        let mut etcds = Vec::new();
        for etcd in starts {
            etcds.push(etcd.ready().await);
        }
        for etcd in &etcds {
            assert_eq!(see(&etcd.url), seen, "{peer:?}");
            let members = says(ctl(), &["--endpoints", &etcd.url, "member", "list"]);
            assert_eq!(members.lines().count(), 3, "{members}");
        }
        says(ctl(), &["--endpoints", &etcds[0].url, "put", "a", "new"]);
        let got = says(ctl(), &["--endpoints", &etcds[2].url, "get", "a", "--print-value-only"]);
        assert_eq!(got, "new\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bumped_revision_is_never_behind_and_what_was_before_is_compacted() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        drop(saved(&peer, dir.path()).await);
        let (data_dir, place) = (dir.path().join("new"), Place::free());
        let bump = ["--bump-revision", "1000", "--mark-compacted"];
        restore_alone(&dir.path().join("saved.db"), &data_dir, &place, &bump);
        let etcd = Etcd::start(&peer.etcd, &data_dir, &place).ready().await;
        let answer = says(ctl(), &["--endpoints", &etcd.url, "get", "a", "-w", "json"]);
        assert!(answer.contains(&format!(r#""revision":{}"#, NEWEST + 1000)), "{answer}");
        let old = ran(ctl(), &["--endpoints", &etcd.url, "get", "a", "--rev", &NEWEST.to_string()]);
        assert!(old.err.contains("required revision has been compacted"), "{old:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test's files")]
async fn the_database_of_a_stopped_etcd_is_restored_if_its_missing_digest_is_no_matter() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let (old, place) = (dir.path().join("old"), Place::free());
        let etcd = Etcd::start(&peer.etcd, &old, &Place::free()).ready().await;
        write(&etcd.url);
        let seen = see(&etcd.url);
        etcd.stop().await;
        let (file, data_dir) = (old.join("member/snap/db"), dir.path().join("new"));
        let before = std::fs::read(&file).unwrap();
        let refused = ran(ctl(), &["snapshot", "restore", text(&file), "--data-dir", text(&data_dir)]);
        assert!(refused.code == 1 && refused.err.contains("--skip-hash-check"), "{refused:?}");
        restore_alone(&file, &data_dir, &place, &["--skip-hash-check"]);
        let etcd = Etcd::start(&peer.etcd, &data_dir, &place).ready().await;
        assert_eq!(see(&etcd.url), seen, "{peer:?}");
        assert!(std::fs::read(&file).unwrap() == before, "the file that is restored is only read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_do_not_go_together_are_told_as_etcdutl_does() {
    let told = |more: &[&str]| {
        let ran = ran(ctl(), &[&["snapshot", "restore", "nowhere.db", "--data-dir", "nowhere"], more].concat());
        assert!(ran.out.is_empty() && !Path::new("nowhere").exists(), "{ran:?}");
        (ran.code, ran.err)
    };
    for one in [&["--mark-compacted"][..], &["--bump-revision", "5"]] {
        let (code, error) = told(one);
        assert!(code == 128 && error.contains("--mark-compacted"), "{error}");
    }
    assert!(told(&["--name", "x"]).1.contains("couldn't find local name \"x\""));
    assert!(told(&["--initial-advertise-peer-urls", "http://10.0.0.1:2380"]).1.contains("--initial-cluster has"));
    assert!(told(&[]).1.contains("nowhere.db: No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_a_stopped_etcd_is_defragmented_and_that_of_a_running_one_is_not() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let (data_dir, place) = (dir.path().join("data"), Place::free());
        let etcd = Etcd::start(&peer.etcd, &data_dir, &place).ready().await;
        write(&etcd.url);
        let seen = see(&etcd.url);
        let line = ["defrag", "--data-dir", text(&data_dir)];
        let refused = ran(ctl(), &line);
        assert!(refused.code == 1 && refused.err.contains("is in use: stop the member first"), "{refused:?}");
        etcd.stop().await;
        assert!(says(ctl(), &line).starts_with("Finished defragmenting etcd data["));
        let etcd = Etcd::start(&peer.etcd, &data_dir, &place).ready().await;
        assert_eq!(see(&etcd.url), seen, "{peer:?}");
        says(ctl(), &["--endpoints", &etcd.url, "put", "a", "new"]);
    }
}
