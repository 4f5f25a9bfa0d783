//! The quickstart keeps its promises, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const QUICKSTART: &str = env!("CARGO_BIN_EXE_quickstart");

#[test]
fn every_promise_of_the_quickstart_holds() {
    let run = Command::new(QUICKSTART).arg("--plain").output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && !text.contains("BROKEN"), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(text.lines().filter(|line| line.starts_with("kept")).count(), 4, "{text}");
}

#[tokio::test]
async fn services_end_with_the_quickstart_however_it_ends() {
    let mut run = Command::new(QUICKSTART).arg("--plain").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("is connected")), "it adds a service");
    let children = children_of(run.id());
    assert_eq!(children.len(), 4);
    run.kill().unwrap();
    run.wait().unwrap();
    let end = async {
        while children.iter().any(|&child| is_running(child)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("no service outlives the quickstart");
}

/// The processes that any thread of a process has started.
fn children_of(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let started = |thread: std::io::Result<std::fs::DirEntry>| {
        let children = std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
        children.split_whitespace().map(|child| child.parse().unwrap()).collect::<Vec<u32>>()
    };
    threads.flat_map(started).collect()
}

/// Neither gone nor waiting to be reaped.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
