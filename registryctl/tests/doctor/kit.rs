//! The program's runs, and servers to run it against.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use registry_server::server::{Config, InitialMember, Running, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// How a run ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

/// Runs the program with nothing on standard input.
pub(crate) async fn run(line: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registryctl"));
    command.args(line).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stdout, stderr } = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap() }
}

/// What it prints when it succeeds.
pub(crate) async fn say(endpoint: &str, line: &[&str]) -> String {
    let ran = run(&[&["--endpoints", endpoint], line].concat()).await;
    assert_eq!(ran.code, 0, "{line:?}: {ran:?}");
    ran.out
}

/// Tries again until it is so, for 20 s at most.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let tries = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tries).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// What the doctor found.
pub(crate) struct Found {
    findings: Vec<Value>,
    pub(crate) code: i32,
}

/// Has the doctor look.
pub(crate) async fn doctor(endpoints: &str, flags: &[&str]) -> Found {
    let line = [&["--endpoints", endpoints, "--dial-timeout", "5s", "-w", "json", "doctor"], flags].concat();
    let ran = run(&line).await;
    let findings: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    Found { findings: findings.as_array().unwrap().clone(), code: ran.code }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {}", self.code)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

impl Found {
    /// The findings of a check, as `severity subject: finding -- todo`.
    pub(crate) fn of(&self, check: &str) -> Vec<String> {
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
        let line = |finding: &Value| {
            let [severity, subject, told, mend] =
                ["severity", "subject", "finding", "todo"].map(|name| text(finding, name));
            format!("{severity} {subject}: {told} -- {mend}")
        };
        self.findings.iter().filter(|finding| finding["check"] == check).map(line).collect()
    }

    /// A finding of the check begins with this and has all of these words in it.
    #[track_caller]
    pub(crate) fn expect(&self, check: &str, begin: &str, words: &[&str]) {
        let fits = |line: &String| line.starts_with(begin) && words.iter().all(|word| line.contains(word));
        assert!(self.of(check).iter().any(fits), "no {check} that begins with {begin:?} and has {words:?}: {self:?}");
    }

    /// Nothing that is worse than a note is found by the check.
    #[track_caller]
    pub(crate) fn is_well(&self, check: &str) {
        let is_bad = |line: &String| line.starts_with("error") || line.starts_with("warning");
        assert!(!self.of(check).iter().any(is_bad), "{check} is not well: {self:?}");
    }
}

/// A server in this process.
pub(crate) struct Node {
    pub(crate) running: Running,
    dir: TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            data_dir: dir.path().join("node"),
            listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
            worker_threads: Some(1),
            ..Config::default()
        };
        change(&mut config);
        Self { running: Server::start(config).await.unwrap(), dir }
    }

    pub(crate) fn url(&self) -> &str {
        self.running.client_url()
    }

    /// Where its data is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    pub(crate) async fn stop(self) {
        self.stop_and_keep().await;
    }

    /// Stops it; its data stays as long as what is returned.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        self.running.shutdown().await.unwrap();
        self.dir
    }
}

/// A port of loopback that nobody has now, held so that the system gives it to nobody who asks for any.
pub(crate) struct Port {
    _held: TcpSocket,
    pub(crate) url: String,
}

pub(crate) fn port() -> Port {
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", held.local_addr().unwrap());
    Port { _held: held, url }
}

/// Servers in this process that are one cluster; and the ports of their peers, which are held.
pub(crate) async fn cluster(members: usize) -> (Vec<Node>, Vec<Port>) {
    let ports: Vec<_> = (0..members).map(|_| port()).collect();
    let member =
        |(at, port): (usize, &Port)| InitialMember { name: format!("m{at}"), peer_url: port.url.parse().unwrap() };
    let all: Vec<_> = ports.iter().enumerate().map(member).collect();
    let starting = all.iter().map(|member| {
        let (own, all) = (member.clone(), all.clone());
        tokio::spawn(Node::start_with(move |config| {
            config.name = own.name;
            config.listen_peer_urls = vec![own.peer_url.clone()];
            config.initial_advertise_peer_urls = vec![own.peer_url];
            config.initial_cluster = all;
        }))
    });
    let starting: Vec<_> = starting.collect();
    let mut nodes = Vec::new();
    for node in starting {
        nodes.push(tokio::time::timeout(Duration::from_secs(60), node).await.unwrap().unwrap());
    }
    (nodes, ports)
}
