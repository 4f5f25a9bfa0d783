//! The tonic service and its client: calls go to all instances, and an instance that ends fails none.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::process::Stdio;
use std::time::Duration;

use registry_testing::TestRegistry;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

struct Service {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Service {
    /// Starts one, and waits until it is registered.
    async fn start(registry: &TestRegistry) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tonic_service"));
        let program = program.args(["--registry", &registry.endpoints()[0], "--notice", "300"]);
        let mut process = program.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut service = Self { process, says, address: String::new() };
        let line = service.says().await;
        let (address, _id) = line.split_once(" is registered as greeter/").unwrap_or_else(|| panic!("{line}"));
        service.address = address.to_owned();
        service
    }

    async fn says(&mut self) -> String {
        timeout(PATIENCE, self.says.next_line()).await.expect("it says something in time").unwrap().unwrap()
    }

    /// Ends it with SIGTERM.
    async fn end(mut self) {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.says().await, format!("{} has left", self.address));
        assert!(timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap().success());
    }
}

fn client(registry: &TestRegistry, times: &str, pause: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tonic_client"));
    program.args(["--registry", &registry.endpoints()[0], "--times", times, "--pause", pause]);
    program.kill_on_drop(true);
    program
}

/// Whether one of the answers came from there.
fn is_of(said: &[String], address: &str) -> bool {
    said.iter().any(|line| line.ends_with(&format!("this is {address}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_all_instances_and_none_fails_while_one_ends() {
    let registry = TestRegistry::start().await.unwrap();
    let (first, second) = (Service::start(&registry).await, Service::start(&registry).await);
    let (kept, ended) = (second.address.clone(), first.address.clone());
    let mut calling = client(&registry, "500", "5").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(calling.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    // Both are there first, then one ends.
    while ![&kept, &ended].into_iter().all(|address| is_of(&said, address)) {
        said.push(timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("it goes on"));
    }
    first.end().await;
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        said.push(line);
    }
    assert!(timeout(PATIENCE, calling.wait()).await.unwrap().unwrap().success());
    assert_eq!(said.len(), 500);
    assert!(is_of(&said[499..], &kept), "{said:?}");

    second.end().await;
    let nobody = timeout(PATIENCE, client(&registry, "1", "0").output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && said.contains("no endpoint of service"), "{said}");
}
