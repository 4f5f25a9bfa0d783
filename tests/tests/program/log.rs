//! Where the log goes.

use std::path::Path;
use std::process::{Command, Stdio};

use registry_tests::budget::SOON;
use registry_tests::{Node, eventually};
use tempfile::TempDir;

use crate::NODE;
use crate::service::Service;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the log is text")
}

#[tokio::test]
async fn all_outputs_get_all_lines_and_files_are_appended_to() {
    let dir = TempDir::new().expect("directories can be made");
    let [one, other] = ["one.log", "other.log"].map(|name| dir.path().join(name));
    let flag = format!("--log-outputs=stderr,{},{}", one.display(), other.display());
    let mut node = Node::start(NODE, &[&flag]).await;
    node.terminate().await;
    let said = node.log().join("\n") + "\n";
    assert!(said.contains("ready to serve client requests") && said.trim_end().ends_with('}'));
    assert_eq!(read(&one), said);
    assert_eq!(read(&other), said);
    assert!(said.lines().last().is_some_and(|line| line.contains("stopped")), "the last words are there: {said}");
    node.start_again().await;
    assert!(read(&one).starts_with(&said) && read(&one).len() > said.len());
}

#[tokio::test]
async fn a_file_that_has_grown_is_renamed() {
    let dir = TempDir::new().expect("directories can be made");
    let path = dir.path().join("a.log");
    let outputs = format!("--log-outputs=stderr,{}", path.display());
    let rotation = "--log-rotation-config-json={\"maxsize\": 1, \"maxbackups\": 1}";
    // A byte less than it may have.
    put(&path, &vec![b'\n'; (1 << 20) - 1]);
    let node = Node::start(NODE, &[&outputs, "--enable-log-rotation", rotation]).await;
    eventually(SOON, "a new file is begun", async || read(&path).contains("ready to serve")).await;
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("it is there").collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(read(&path).len() < 1 << 20);
    drop(node);
}

#[tokio::test]
async fn an_output_that_cannot_be_written_to_is_told_at_the_start() {
    let dir = TempDir::new().expect("directories can be made");
    let flags = ["--log-outputs=/nowhere/a.log"];
    let refused = Node::try_start(NODE, &dir.path().join("data"), &flags).await.expect_err("there is no directory");
    assert!(refused.said[0].contains("--log-outputs: cannot open /nowhere/a.log"), "{refused}");
}

#[tokio::test]
async fn lines_are_for_programs_unless_they_are_to_be_for_people() {
    for (format, is_json) in [("json", true), ("console", false)] {
        let dir = TempDir::new().expect("directories can be made");
        let path = dir.path().join("a.log");
        let mut command = Command::new(NODE);
        command.env_clear().env("ETCD_DATA_DIR", dir.path().join("data"));
        command.args(["--listen-client-urls=http://127.0.0.1:0", "--wal-segment-bytes=16777216"]);
        command.arg(format!("--log-outputs={}", path.display())).arg(format!("--log-format={format}"));
        let command = command.stdin(Stdio::null()).stderr(Stdio::null());
        let service = Service(command.spawn().expect("it can be started"));
        eventually(SOON, "it serves", async || path.exists() && read(&path).contains("ready to serve client requests"))
            .await;
        drop(service);
        assert!(read(&path).lines().all(|line| line.starts_with('{') == is_json), "{format}: {}", read(&path));
    }
}

#[expect(clippy::disallowed_methods, reason = "the file of a test")]
fn put(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("files can be written");
}
