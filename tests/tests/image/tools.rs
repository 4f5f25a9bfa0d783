//! What etcd's tools and etcd itself make of a snapshot.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use registry_proto::etcdserverpb::{DefragmentRequest, DeleteRangeRequest};
use registry_tests::{Client, ETCD, Etcd, Node, etcdctl, requests};
use serde_json::Value;
use tempfile::TempDir;

use crate::NODE;
use crate::history::{COMPACTED, KEY_ENTRIES, Seen, see, write};

pub(crate) const TEXT: &str = "paths of tests are text";
const ACCEPTED: &str = "the request is accepted";
/// Entries of the other buckets: two leases, a member, the cluster's version, six about Raft and compaction, and two
/// about users.
const OTHER_ENTRIES: usize = 2 + 1 + 1 + 6 + 2;

/// What a tool says, which must succeed.
pub(crate) fn say(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.env_clear().env("ETCDCTL_API", "3").args(arguments).output().expect("the tool can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// etcdutl, if the environment says where it is, with the etcd beside it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn etcdutl() -> Option<(PathBuf, PathBuf)> {
    let Some(etcdutl) = std::env::var_os("ETCDUTL").map(PathBuf::from) else {
        eprintln!("skipped: ETCDUTL does not say where etcdutl is");
        return None;
    };
    let etcd = etcdutl.with_file_name("etcd");
    Some((etcdutl, etcd))
}

/// A server with a history, its snapshot as etcdctl has saved it, and what is to be found in it.
struct Saved {
    dir: TempDir,
    file: String,
    newest: i64,
    seen: Seen,
    node: Node,
}

async fn save() -> Saved {
    let node = Node::start(NODE, &[]).await;
    let client = node.client().await;
    let newest = write(&client).await;
    let dir = TempDir::new().expect("temporary directories can be made");
    let file = dir.path().join("snapshot.db").to_str().expect(TEXT).to_owned();
    etcdctl::say(node.address(), &["snapshot", "save", &file]);
    Saved { dir, file, newest, seen: see(&client).await, node }
}

/// Has a tool check, hash and restore a snapshot, starts etcd on it, and compares.
async fn judge(saved: &Saved, tool: &Path, etcd: &Path) {
    let status: Value =
        serde_json::from_str(&say(tool, &["snapshot", "status", &saved.file, "-w", "json"])).expect("it is JSON");
    assert_eq!(status["revision"], saved.newest);
    // Newer tools count keys, older ones entries.
    let keys = saved.seen.keys();
    let total = status["totalKey"].as_u64().and_then(|total| usize::try_from(total).ok()).expect("it is a number");
    assert!([KEY_ENTRIES + OTHER_ENTRIES, keys].contains(&total), "{status}");
    let file_bytes = std::fs::metadata(&saved.file).expect("it was saved").len();
    assert_eq!(status["totalSize"], file_bytes - 32, "all but the digest");
    let data_dir = saved.dir.path().join(format!("of-{}", tool.file_name().and_then(OsStr::to_str).expect(TEXT)));
    say(tool, &["snapshot", "restore", &saved.file, "--data-dir", data_dir.to_str().expect(TEXT)]);
    let restored = Etcd::start_on(etcd, &data_dir).await;
    let client = Client::connect(restored.url()).await;
    assert!(see(&client).await == saved.seen, "etcd has something else than was saved");
    go_on(&client, saved.newest).await;
}

/// etcd changes the pages that it was given: it takes all keys out, and gives the pages back.
pub(crate) async fn go_on(client: &Client, newest: i64) {
    let everything = DeleteRangeRequest { range_end: Bytes::from_static(b"\0"), ..requests::delete("\0") };
    client.delete(everything).await.expect(ACCEPTED);
    client.compact(newest + 1).await.expect(ACCEPTED);
    assert_eq!(client.put("first", "of a new life").await, newest + 2);
    client.maintenance.clone().defragment(DefragmentRequest {}).await.expect(ACCEPTED);
    assert_eq!(client.range(requests::everything()).await.len(), 1);
}

#[tokio::test]
async fn etcdctl_checks_and_restores_a_snapshot_and_etcd_goes_on_from_it() {
    if !etcdctl::is_there() || !Etcd::is_there() {
        return;
    }
    judge(&save().await, Path::new(etcdctl::PATH), Path::new(ETCD)).await;
}

#[tokio::test]
async fn etcdutl_checks_and_restores_a_snapshot_and_etcd_goes_on_from_it() {
    let Some((etcdutl, etcd)) = etcdutl().filter(|_| etcdctl::is_there()) else { return };
    judge(&save().await, &etcdutl, &etcd).await;
}

#[tokio::test]
async fn two_snapshots_of_a_quiet_store_have_the_same_hash_and_one_of_another_has_not() {
    if !etcdctl::is_there() {
        return;
    }
    let saved = save().await;
    let hash = |file: &str| {
        let status = say(Path::new(etcdctl::PATH), &["snapshot", "status", file, "-w", "json"]);
        serde_json::from_str::<Value>(&status).unwrap()["hash"].as_u64().unwrap()
    };
    let again = saved.dir.path().join("again.db").to_str().unwrap().to_owned();
    etcdctl::say(saved.node.address(), &["snapshot", "save", &again]);
    assert_eq!(hash(&again), hash(&saved.file));
    assert!(saved.newest > COMPACTED);
    etcdctl::say(saved.node.address(), &["put", "one", "more"]);
    etcdctl::say(saved.node.address(), &["snapshot", "save", &again]);
    assert_ne!(hash(&again), hash(&saved.file));
}

#[tokio::test]
async fn users_and_roles_are_in_a_snapshot_and_etcd_goes_by_them() {
    if !etcdctl::is_there() || !Etcd::is_there() {
        return;
    }
    let node = Node::start(NODE, &["--bcrypt-cost=4"]).await;
    let run = |words: &str| etcdctl::say(node.address(), &words.split(' ').collect::<Vec<_>>());
    for words in [
        "user add root:secret",
        "user grant-role root root",
        "role add app",
        "role grant-permission app --prefix readwrite /app/",
        "user add anna:pw",
        "user grant-role anna app",
        "auth enable",
        "--user=anna:pw put /app/a 1",
    ] {
        run(words);
    }
    let dir = TempDir::new().unwrap();
    let (file, data_dir) = (dir.path().join("saved.db"), dir.path().join("data"));
    run(&format!("--user=root:secret snapshot save {}", file.display()));
    let (file, into) = (file.to_str().unwrap(), data_dir.to_str().unwrap());
    say(Path::new(etcdctl::PATH), &["snapshot", "restore", file, "--data-dir", into]);
    let restored = Etcd::start_on(Path::new(ETCD), &data_dir).await;
    let address = restored.url().trim_start_matches("http://");
    let run = |words: &str| etcdctl::say(address, &words.split(' ').collect::<Vec<_>>());
    assert_eq!(run("--user=anna:pw get /app/a --print-value-only").trim(), "1");
    let refused = etcdctl::run(address, &["--user=anna:pw", "put", "other", "1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("permission denied"), "{refused:?}");
    assert_eq!(run("--user=root:secret user get anna").trim(), "User: anna\nRoles: app");
}
