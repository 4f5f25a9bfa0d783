//! Of several candidates one leads, and another one when it ends, in whichever way.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::process::Stdio;
use std::time::Duration;

use registry_testing::TestRegistry;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const CANDIDATE: &str = env!("CARGO_BIN_EXE_leader_election");
const PATIENCE: Duration = Duration::from_secs(20);

struct Candidate {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Candidate {
    fn start(registry: &TestRegistry, id: &str, ttl: &str) -> Self {
        let mut program = Command::new(CANDIDATE);
        let program =
            program.args(["--registry", &registry.endpoints()[0], "--name", "billing", "--id", id, "--ttl", ttl]);
        let mut process = program.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, says }
    }

    /// The next line.
    async fn says(&mut self) -> String {
        timeout(PATIENCE, self.says.next_line()).await.expect("it says something in time").unwrap().unwrap_or_default()
    }

    /// The fencing number with which it leads.
    async fn leads(&mut self) -> i64 {
        let line = self.says().await;
        let (_, number) = line.split_once(" leads with the fencing number ").unwrap_or_else(|| panic!("{line}"));
        number.parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

#[tokio::test]
async fn a_leader_that_is_told_to_end_hands_over_at_once() {
    let registry = TestRegistry::start().await.unwrap();
    // A TTL that nobody waits for.
    let mut first = Candidate::start(&registry, "first", "600");
    let before = first.leads().await;
    let mut second = Candidate::start(&registry, "second", "600");
    let waits = timeout(Duration::from_millis(500), second.says.next_line()).await;
    assert!(waits.is_err(), "two lead: {waits:?}");
    first.signal(Signal::TERM);
    assert_eq!(first.says().await, "first has handed over");
    assert!(second.leads().await > before, "fencing numbers grow");
    assert!(timeout(PATIENCE, first.process.wait()).await.unwrap().unwrap().success());
    second.signal(Signal::TERM);
    assert_eq!(second.says().await, "second has handed over");
    assert!(timeout(PATIENCE, second.process.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_when_its_lease_expires() {
    let registry = TestRegistry::start().await.unwrap();
    let mut first = Candidate::start(&registry, "first", "2");
    let before = first.leads().await;
    let mut second = Candidate::start(&registry, "second", "2");
    first.signal(Signal::KILL);
    assert!(second.leads().await > before);
}

#[tokio::test]
async fn a_leader_whose_lease_is_gone_stops_and_campaigns_again() {
    let registry = TestRegistry::start().await.unwrap();
    let mut only = Candidate::start(&registry, "only", "2");
    only.leads().await;
    // It stands still for longer than its lease lives.
    only.signal(Signal::STOP);
    let mut other = Candidate::start(&registry, "other", "2");
    other.leads().await;
    only.signal(Signal::CONT);
    let line = only.says().await;
    assert!(line.starts_with("only has lost its lease") || line.starts_with("only tries again"), "{line}");
    other.signal(Signal::TERM);
    assert_eq!(other.says().await, "other has handed over");
    let line = only.says().await;
    assert!(line.starts_with("only leads"), "{line}");
}
