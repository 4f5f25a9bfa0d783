//! Starts that are refused: one clear line on standard error, and a failure as the exit code.

use std::path::Path;

use registry_tests::Node;
use tempfile::TempDir;

use crate::NODE;

/// The start is refused with one line, which holds all of `words`.
async fn refused_with_a_line(data_dir: &Path, flags: &[&str], words: &[&str]) {
    let refused = Node::try_start(NODE, data_dir, flags).await.expect_err("the start must be refused");
    assert!(refused.status.code().is_some_and(|code| code != 0), "{refused}");
    let [line] = &refused.said[..] else { panic!("not one line: {refused}") };
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let node = Node::start(NODE, &[]).await;
    let data_dir = node.data_dir().to_str().unwrap();
    refused_with_a_line(node.data_dir(), &[], &[data_dir, "another process"]).await;
    let client = node.client().await;
    client.put("a", "1").await;
    assert_eq!(client.value("a").await.unwrap(), "1");
}

#[tokio::test]
async fn a_data_directory_can_be_taken_over_after_a_kill() {
    let mut node = Node::start(NODE, &[]).await;
    node.client().await.put("a", "1").await;
    node.kill9();
    let second = Node::try_start(NODE, node.data_dir(), &[]).await.unwrap();
    assert_eq!(second.client().await.value("a").await.unwrap(), "1");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let node = Node::start(NODE, &[]).await;
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("data");
    let flags = ["--listen-client-urls", node.url()];
    refused_with_a_line(&data_dir, &flags, &[node.address(), "in use"]).await;
    assert!(!data_dir.exists(), "a start that is refused leaves no directory");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    refused_with_a_line(Path::new("/proc/x"), &[], &["/proc/x"]).await;
}

#[tokio::test]
async fn a_file_in_the_place_of_the_data_directory_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    refused_with_a_line(file.path(), &[], &[file.path().to_str().unwrap()]).await;
}

#[tokio::test]
async fn a_directory_with_foreign_files_is_not_touched() {
    let dir = TempDir::new().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a file of somebody else")]
    std::fs::write(dir.path().join("family.jpg"), "picture").unwrap();
    if let Err(refused) = Node::try_start(NODE, dir.path(), &[]).await {
        assert!(refused.status.code().is_some_and(|code| code != 0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{refused}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("family.jpg")).unwrap(), "picture");
}

#[tokio::test]
async fn settings_that_do_not_work_together_are_named() {
    let dir = TempDir::new().unwrap();
    refused_with_a_line(dir.path(), &["--election-timeout=200"], &["--election-timeout", "--heartbeat-interval"]).await;
}

#[tokio::test]
async fn a_flag_that_does_not_exist_and_a_bad_value_are_named() {
    let dir = TempDir::new().unwrap();
    for (flag, word) in [
        ("--no-such-flag", "--no-such-flag"),
        ("--data-di=x", "--data-dir"),
        ("--listen-client-urls=http://127.0.0.1:99999", "99999"),
        ("--heartbeat-interval=soon", "--heartbeat-interval"),
        ("--log-level=chatty", "--log-level"),
    ] {
        refused_with_a_line(dir.path(), &[flag], &[word]).await;
        assert!(!dir.path().join("member").exists());
    }
}
