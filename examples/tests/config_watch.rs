//! The configuration that the example shows is the registry's, through a partition and a compaction.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::process::Stdio;
use std::time::Duration;

use registry_testing::TestRegistry;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// The changes up to the next line that says that they are all.
async fn changes(lines: &mut Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut told = Vec::new();
    let reading = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            if line.starts_with('#') {
                return;
            }
            told.push(line);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("it tells");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_adds_up_to_what_there_is() {
    let servers = TestRegistry::start().await.unwrap();
    let line = servers.line().unwrap();
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        servers.put(&format!("/config/pay/{name}"), value).await.unwrap();
    }
    servers.put("/config/payments/x", "not ours").await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_config_watch"));
    command.args(["--registry", &line.endpoints().join(","), "/config/pay/"]);
    let mut program = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert_eq!(changes(&mut lines).await, ["= a 1", "= b 2", "= c 3"]);

    servers.put("/config/pay/a", "10").await.unwrap();
    assert_eq!(changes(&mut lines).await, ["= a 10"]);
    servers.delete("/config/pay/b").await.unwrap();
    assert_eq!(changes(&mut lines).await, ["- b"]);

    line.cut();
    servers.delete("/config/pay/c").await.unwrap();
    servers.put("/config/pay/d", "4").await.unwrap();
    servers.compact().await.unwrap();
    line.open();
    let mut told = changes(&mut lines).await;
    told.sort();
    assert_eq!(told, ["- c", "= d 4"], "history is gone: the difference is told, and what did not change is not");
}

#[tokio::test]
async fn a_prefix_without_its_slash_is_refused_with_the_mend() {
    let output = Command::new(env!("CARGO_BIN_EXE_config_watch")).arg("/config/pay").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/config/pay/"), "{said}");
}
