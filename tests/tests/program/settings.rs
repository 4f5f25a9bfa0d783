//! A file of settings, as etcd has it, and flags that no other suite gives.

use registry_tests::requests::{Operation, put as put_request, txn};
use registry_tests::{Node, refusal};
use tempfile::TempDir;

use crate::NODE;

#[expect(clippy::disallowed_methods, reason = "the file of a test")]
fn put(dir: &TempDir, text: &str) -> String {
    let path = dir.path().join("registry.yml");
    std::fs::write(&path, text).expect("files can be written");
    format!("--config-file={}", path.display())
}

#[tokio::test]
async fn a_server_is_what_its_file_says_whatever_else_is_given() {
    let dir = TempDir::new().expect("directories can be made");
    let data = dir.path().join("data");
    let flag = put(
        &dir,
        &format!(
            "name: of-the-file\ndata-dir: {}\nlisten-client-urls: http://127.0.0.1:0\nmax-txn-ops: 1\n\
             listen-peer-urls: http://127.0.0.1:0\nwal-segment-bytes: 16777216\nsnapshot-count: 7\n",
            data.display()
        ),
    );
    let elsewhere = dir.path().join("elsewhere");
    let node = Node::try_start(NODE, &elsewhere, &[&flag, "--name=of-the-line"]).await.expect("it starts");
    node.client().await.put("a", "1").await;
    assert!(data.exists() && !elsewhere.exists());
    assert!(node.log_contains("of-the-file") && !node.log_contains("of-the-line"));
    assert!(node.log_contains("counts alone: other flags"));
    assert!(node.log_contains("--snapshot-count has no effect here"));
}

#[tokio::test]
async fn what_is_wrong_with_it_is_told_in_one_line() {
    let dir = TempDir::new().expect("directories can be made");
    for (text, words) in [
        ("name: a\nnmae: b\n", "registry.yml, line 2: \"nmae\" is no setting"),
        ("name: [\n", "registry.yml: line"),
        ("listen-client-urls: https://127.0.0.1:0\n", "registry.yml: --listen-client-urls https://127.0.0.1:0"),
    ] {
        let flag = put(&dir, text);
        let refused = Node::try_start(NODE, &dir.path().join("data"), &[&flag]).await.expect_err(words);
        assert_eq!(refused.said.len(), 1, "{refused}");
        assert!(refused.said[0].contains(words), "{refused} does not say: {words}");
    }
}

#[tokio::test]
async fn the_log_of_writes_may_have_a_directory_of_its_own() {
    let dir = TempDir::new().expect("directories can be made");
    let wal = dir.path().join("wal");
    let mut node = Node::start(NODE, &[&format!("--wal-dir={}", wal.display())]).await;
    let revision = node.client().await.put("a", "1").await;
    assert!(wal.join("LOCK").exists(), "nobody else may use it");
    assert!(!node.data_dir().join("member").join("wal").exists(), "there is no other one");
    node.kill9();
    node.start_again().await;
    assert_eq!(node.client().await.get("a").await.map(|kv| kv.mod_revision), Some(revision));
}

#[tokio::test]
async fn a_transaction_has_as_many_operations_as_the_flag_says() {
    let node = Node::start(NODE, &["--max-txn-ops=2"]).await;
    let client = node.client().await;
    let puts = |keys: &[&str]| txn(keys.iter().map(|key| put_request(key, "1").op()).collect());
    client.txn(puts(&["a", "b"])).await.expect("there are two");
    let refused = refusal(client.txn(puts(&["a", "b", "c"])).await);
    assert_eq!(refused.1, "etcdserver: too many operations in txn request");
}
