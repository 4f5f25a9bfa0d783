//! A server as a child process: one node on loopback, on free ports, with a data directory of its own.
//!
//! Both kinds of server take etcd's flags, so they are started alike. A child is ended by its own id, in
//! order if possible, and in any case when [`ServerProcess`] is dropped; its directory goes with it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::usage::{self, Usage};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// How much of a log is shown when a server does not start.
const LOG_TAIL_BYTES: usize = 2_000;

/// A server to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// What it is called in tables.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Flags besides those of every start.
    pub flags: Vec<String>,
}

/// A server that serves.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    url: String,
    _data_dir: TempDir,
}

impl ServerProcess {
    /// Starts a server on an empty data directory below `parent` and waits until it answers a linearizable
    /// read.
    ///
    /// # Errors
    /// When it cannot be started or does not answer; with the end of its log.
    pub async fn start(program: &Program, parent: &Path) -> Result<Self, BenchError> {
        let data_dir = tempfile::Builder::new().prefix("registry-bench-").tempdir_in(parent);
        let data_dir = data_dir.map_err(BenchError::system(format!("a directory in {}", parent.display())))?;
        let [url, peer_url] = free_urls().map_err(BenchError::system("a free port"))?;
        let log = data_dir.path().join("log");
        let child = spawn(program, data_dir.path(), &url, &peer_url, &log)?;
        let mut server = Self { child, url, _data_dir: data_dir };
        server.wait_until_it_serves(program, &log).await?;
        Ok(server)
    }

    /// Where it serves clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage, BenchError> {
        usage::of_process(self.child.id()).map_err(BenchError::system("the server's resource usage"))
    }

    /// Ends it in order; if that takes long, in any case.
    ///
    /// # Errors
    /// When the system does not let it be ended.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        let fault = || BenchError::system("stopping the server");
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|error| fault()(error.into()))?;
        let began = Instant::now();
        while began.elapsed() < STOP_LIMIT {
            if self.child.try_wait().map_err(fault())?.is_some() {
                return Ok(());
            }
            sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    async fn wait_until_it_serves(&mut self, program: &Program, log: &Path) -> Result<(), BenchError> {
        let began = Instant::now();
        let endpoint = Endpoint::parse(&self.url)?;
        loop {
            if answers(&endpoint).await {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(BenchError::system("waiting for the server"))?.is_some();
            if ended || began.elapsed() > START_LIMIT {
                let (program, after) = (program.path.clone(), began.elapsed());
                return Err(BenchError::NotServing { program, after, log: tail(log) });
            }
            sleep(POLL_EVERY).await;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // An error means that it has ended already. It must be gone before its directory goes.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "the log of a child is no part of a node")]
fn spawn(program: &Program, dir: &Path, url: &str, peer_url: &str, log: &Path) -> Result<Child, BenchError> {
    let log = std::fs::File::create(log).map_err(BenchError::system("the server's log file"))?;
    let errors = log.try_clone().map_err(BenchError::system("the server's log file"))?;
    let mut command = Command::new(&program.path);
    command.args(["--name", "bench", "--log-level", "error"]).arg("--data-dir").arg(dir.join("data"));
    command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
    command.args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]);
    command.arg("--initial-cluster").arg(format!("bench={peer_url}")).args(&program.flags);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().map_err(BenchError::system(format!("cannot start {}", program.path.display())))
}

/// Two ports that nobody listens on now. Somebody could take one before the server does; then the server's
/// log says so.
fn free_urls() -> std::io::Result<[String; 2]> {
    let (client, peer) = (TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?);
    Ok([&client, &peer].map(TcpListener::local_addr).map(|address| match address {
        Ok(address) => format!("http://{address}"),
        Err(_) => String::new(),
    }))
}

async fn answers(endpoint: &Endpoint) -> bool {
    let Ok(connection) = Connection::open(endpoint).await else {
        return false;
    };
    let read = RangeRequest { key: "ready".into(), ..RangeRequest::default() };
    KvClient::with_origin(connection, endpoint.origin()).range(read).await.is_ok()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let from = (text.len().saturating_sub(LOG_TAIL_BYTES)..text.len()).find(|at| text.is_char_boundary(*at));
    text[from.unwrap_or(0)..].to_owned()
}
