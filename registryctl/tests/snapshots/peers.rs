//! etcd, of each version that is there: Debian's, and the one beside the etcdutl that the variable `ETCDUTL` names.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{ctl, ran};

/// Until an etcd serves, on a machine that has other work.
const START: Duration = Duration::from_secs(60);

/// One installed version.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) etcd: PathBuf,
    /// What checks and restores snapshots: etcdctl of 3.4, etcdutl of later ones.
    pub(crate) tool: PathBuf,
}

/// All that are there; a printed line says which is not.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn peers() -> Vec<Peer> {
    let debian = Peer { etcd: "/usr/bin/etcd".into(), tool: "/usr/bin/etcdctl".into() };
    let named = std::env::var_os("ETCDUTL").map(PathBuf::from);
    let named = named.map(|tool| Peer { etcd: tool.with_file_name("etcd"), tool });
    if named.is_none() {
        eprintln!("skipped for newer versions: ETCDUTL does not say where etcdutl is");
    }
    let found: Vec<_> =
        [Some(debian), named].into_iter().flatten().filter(|peer| peer.etcd.exists() && peer.tool.exists()).collect();
    if found.is_empty() {
        eprintln!("skipped: no etcd is installed");
    }
    found
}

/// Where a member is reached. The ports were free a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) client: String,
    pub(crate) peer: String,
}

impl Place {
    pub(crate) fn free() -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = listeners.map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        Self { client, peer }
    }
}

/// An etcd that runs; dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Etcd {
    process: Child,
    pub(crate) url: String,
}

impl Etcd {
    /// Starts a member that is alone, unless its directory says otherwise.
    pub(crate) fn start(program: &Path, data_dir: &Path, place: &Place) -> Self {
        Self::start_as("default", program, data_dir, place, &[])
    }

    /// Starts a member with a name and more flags.
    pub(crate) fn start_as(name: &str, program: &Path, data_dir: &Path, place: &Place, more: &[&str]) -> Self {
        let Place { client, peer } = place;
        let mut command = Command::new(program);
        command.env_clear().arg("--data-dir").arg(data_dir).args(["--name", name, "--logger=zap"]);
        command.args(["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]);
        command.args(["--initial-advertise-peer-urls", peer, "--initial-cluster", &format!("{name}={peer}")]);
        let process =
            command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, url: client.clone() }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(mut self) -> Self {
        let begin = Instant::now();
        while ran(ctl(), &["--endpoints", &self.url, "get", "ready"]).code != 0 {
            assert!(begin.elapsed() < START, "etcd does not serve");
            assert!(self.process.try_wait().unwrap().is_none(), "etcd ended");
            sleep(Duration::from_millis(50)).await;
        }
        self
    }

    /// Ends it as an operator does, so that its database is whole.
    pub(crate) async fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        while self.process.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
