//! `snapshot status`, beside that of etcd's tools.

use serde_json::Value;

use crate::contents::{NEWEST, write};
use crate::peers::{Etcd, Place, peers};
use crate::{ctl, node, ran, says, text};

fn status(program: &std::path::Path, file: &str) -> Value {
    serde_json::from_str(&says(program, &["snapshot", "status", file, "-w", "json"])).unwrap()
}

/// Hash, revision and compacted revision.
fn figures(hashes: &Value, names: [&str; 2]) -> [i64; 2] {
    names.map(|name| hashes[name].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_the_hash_that_its_etcd_tells_of_the_same_revision() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let etcd = Etcd::start(&peer.etcd, &dir.path().join("data"), &Place::free()).ready().await;
        let file = dir.path().join("saved.db");
        let run = |line: &[&str]| says(ctl(), &[&["--endpoints", &etcd.url], line].concat());
        let compare = |revisions: &[i64]| {
            run(&["snapshot", "save", text(&file)]);
            for revision in revisions {
                let revision = revision.to_string();
                let theirs = run(&["-w", "json", "endpoint", "hashkv", "--rev", &revision]);
                let theirs: Value = serde_json::from_str(&theirs).unwrap();
                let theirs = figures(&theirs[0]["HashKV"], ["hash", "compact_revision"]);
                let ours = says(ctl(), &["-w", "json", "snapshot", "hashkv", text(&file), "--rev", &revision]);
                let ours = figures(&serde_json::from_str(&ours).unwrap(), ["hash", "compactRevision"]);
                assert_eq!(ours, theirs, "at {revision} of {peer:?}");
            }
        };
        for (key, value) in [("a", "1"), ("a", "2"), ("b", "1")] {
            run(&["put", key, value]);
        }
        compare(&[2, 3, 0]);
        run(&["compaction", "3", "--physical"]);
        write(&etcd.url);
        compare(&[5, 8, NEWEST, 0]);
        let gone = ran(ctl(), &["snapshot", "hashkv", text(&file), "--rev", "3"]);
        assert!(gone.code == 1 && gone.err.contains("revision 3 has been compacted"), "{gone:?}");
    }
}

/// But for the version, of which older tools know nothing.
fn without_version(mut status: Value) -> Value {
    status.as_object_mut().unwrap().remove("version");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_etcd_has_the_figures_that_its_tool_prints_in_every_form() {
    for peer in peers() {
        let dir = tempfile::tempdir().unwrap();
        let etcd = Etcd::start(&peer.etcd, &dir.path().join("data"), &Place::free()).ready().await;
        write(&etcd.url);
        let file = dir.path().join("saved.db");
        says(ctl(), &["--endpoints", &etcd.url, "snapshot", "save", text(&file)]);
        for form in ["simple", "fields", "json", "table"] {
            let line = ["snapshot", "status", text(&file), "-w", form];
            let (theirs, ours) = (says(&peer.tool, &line), says(ctl(), &line));
            assert_eq!(ours.replace(r#","version":"""#, ""), theirs, "{form} of {peer:?}");
        }
        assert_eq!(status(ctl(), text(&file))["revision"], NEWEST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_ours_has_the_figures_that_etcds_tools_print() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let url = node.client_url().to_owned();
    write(&url);
    let file = dir.path().join("saved.db");
    says(ctl(), &["--endpoints", &url, "snapshot", "save", text(&file)]);
    let ours = status(ctl(), text(&file));
    assert_eq!(ours["revision"], NEWEST);
    assert!(ours["version"].as_str().unwrap().starts_with("3."), "{ours}");
    for peer in peers() {
        assert_eq!(without_version(ours.clone()), without_version(status(&peer.tool, text(&file))), "{peer:?}");
    }
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test's files")]
async fn a_file_that_is_damaged_or_none_is_told_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let file = dir.path().join("saved.db");
    says(ctl(), &["--endpoints", node.client_url(), "snapshot", "save", text(&file)]);
    let told = || {
        let ran = ran(ctl(), &["snapshot", "status", text(&file)]);
        assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("saved.db"), "{ran:?}");
        ran.err
    };
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(told().contains("is damaged: expected sha256"), "{}", told());
    std::fs::write(&file, "{}").unwrap();
    assert!(told().contains("is no database of etcd"), "{}", told());
    std::fs::remove_file(&file).unwrap();
    assert!(told().contains("No such file"), "{}", told());
    node.shutdown().await.unwrap();
}
