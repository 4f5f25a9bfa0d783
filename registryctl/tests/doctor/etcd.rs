//! etcd itself, where it is installed: what its versions do not have is passed over, and said.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::kit::{doctor, run, say};

/// Where Debian's package puts it.
const ETCD: &str = "/usr/bin/etcd";

/// A running etcd. Dropping it kills and reaps it.
struct Etcd {
    process: Child,
    client: String,
    peer: String,
    _dir: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Etcd {
    /// None, with a word about it, where it is not installed.
    fn start() -> Option<Self> {
        if !Path::new(ETCD).exists() {
            eprintln!("skipped: {ETCD} is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // Free a moment ago, and given to no one who asks for any.
        let (client, peer) = (crate::kit::port(), crate::kit::port());
        let mut command = Command::new(ETCD);
        command
            .env_clear()
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args(["--logger=zap", "--log-outputs=stderr"]);
        command.args(["--listen-client-urls", &client.url, "--advertise-client-urls", &client.url]);
        command.args(["--listen-peer-urls", &peer.url, "--initial-advertise-peer-urls", &peer.url]);
        command.arg(format!("--initial-cluster=default={}", peer.url)).args(["--quota-backend-bytes", "20000000"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (told, ready) = mpsc::channel();
        // Read to the end, so that it never waits for its log.
        std::thread::spawn(move || {
            let serves = |line: &String| line.contains("serving client traffic insecurely");
            lines.map_while(Result::ok).filter(serves).for_each(|line| drop(told.send(line)));
        });
        ready.recv_timeout(Duration::from_secs(60)).expect("etcd serves");
        let (client, peer) = (client.url.clone(), peer.url.clone());
        Some(Self { process, client, peer, _dir: dir })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_looked_at_as_our_server_is() {
    let Some(etcd) = tokio::task::spawn_blocking(Etcd::start).await.unwrap() else { return };
    let url = etcd.client.as_str();
    say(url, &["lease", "grant", "600"]).await;
    let found = doctor(url, &["--hash"]).await;
    assert_eq!(found.code, 0, "{found:?}");
    found.expect("endpoint", &format!("ok {url}"), &["answers as member"]);
    found.expect("lease", "warning cluster", &["of 1, 1 hold no key"]);
    found.expect("space", &format!("ok {url}"), &["of 19.1 MiB are held"]);
    found.expect("version", "ok cluster", &["all members run 3."]);
    found.expect("clock", "ok cluster", &["agree"]);
    found.expect("disk", "", &["syncs of its log", "commits of its database"]);
    found.expect("alarm", "ok cluster", &[]);
    found.expect("read", "ok", &["a majority answered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcds_peer_port_is_known_even_alone_and_its_alarm_is_told() {
    let Some(etcd) = tokio::task::spawn_blocking(Etcd::start).await.unwrap() else { return };
    let found = doctor(&etcd.peer, &[]).await;
    found.expect("endpoint", &format!("error {}", etcd.peer), &["where members reach default", &etcd.client]);
    let value = "v".repeat(100_000);
    let full = async {
        for number in 0.. {
            let put = run(&["--endpoints", &etcd.client, "put", &format!("k{number}"), &value]).await;
            if put.err.contains("database space exceeded") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), full).await.expect("the quota is full at some time");
    let found = doctor(&etcd.client, &[]).await;
    found.expect("alarm", "error ", &["NOSPACE", "compaction"]);
    found.expect("space", "error", &["are held"]);
    assert_eq!(found.code, 1);
}
