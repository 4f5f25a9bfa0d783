//! A file of settings, as etcd has it.

use registry_tests::Node;
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
