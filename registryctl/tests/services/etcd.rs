//! etcd itself: the one that `ETCD` of the environment names, or as Debian has it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PATH: &str = "/usr/bin/etcd";

/// An etcd of one member. Dropping it kills and reaps it.
pub(crate) struct Etcd {
    process: Child,
    pub(crate) url: String,
    _dir: TempDir,
}

impl Etcd {
    /// Starts it; none, and a printed line, where it is not installed. Whoever wants it waits until it answers.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn start() -> Option<Self> {
        let program = std::env::var("ETCD").unwrap_or_else(|_| PATH.to_owned());
        if !Path::new(&program).exists() {
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let [client, peer] = free_urls();
        let process = Command::new(program)
            .args(["--data-dir", dir.path().join("data").to_str().unwrap(), "--log-level", "error"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, url: client, _dir: dir })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Of ports that nobody has, as etcd takes no port 0.
fn free_urls() -> [String; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| format!("http://{}", listener.local_addr().unwrap()))
}
