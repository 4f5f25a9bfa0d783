//! A server as a child process on loopback, in a `Home` that may outlive it: alone, or a member of a `Cluster`.
//!
//! Both kinds of server take etcd's flags, so they are started alike. A child is ended by its own id, in
//! order if possible, and in any case when [`ServerProcess`] is dropped; its home goes with the last holder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::home::Home;
use crate::usage::{self, Memory, Usage};

pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How exactly the time of a start is known, besides what the machine adds.
const POLL_EVERY: Duration = Duration::from_millis(5);
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
    home: Arc<Home>,
    program: PathBuf,
    served_after: Duration,
}

impl ServerProcess {
    /// Starts a server on an empty data directory below `parent` and waits until it answers a linearizable
    /// read.
    ///
    /// # Errors
    /// When it cannot be started or does not answer; with the end of its log.
    pub async fn start(program: &Program, parent: &Path) -> Result<Self, BenchError> {
        Self::start_in(program, &Home::new(parent)?, START_LIMIT).await
    }

    /// Starts a server on what an earlier one has left in `home`, if anything, and waits until it answers a
    /// linearizable read.
    ///
    /// # Errors
    /// When it cannot be started or does not answer within `limit`; with the end of its log.
    pub(crate) async fn start_in(program: &Program, home: &Arc<Home>, limit: Duration) -> Result<Self, BenchError> {
        let began = Instant::now();
        let mut server = Self::launch(program, home)?;
        server.wait_until_it_serves(began, limit).await?;
        Ok(server)
    }

    /// Starts a server and does not wait: a member answers no linearizable read before the others are there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn launch(program: &Program, home: &Arc<Home>) -> Result<Self, BenchError> {
        let child = spawn(program, home)?;
        let (home, program) = (Arc::clone(home), program.path.clone());
        Ok(Self { child, home, program, served_after: Duration::ZERO })
    }

    /// Where it serves clients.
    #[must_use]
    pub fn url(&self) -> &str {
        self.home.url()
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From before it was started until it had answered its first linearizable read.
    #[must_use]
    pub fn served_after(&self) -> Duration {
        self.served_after
    }

    /// What memory it holds now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<Memory, BenchError> {
        usage::memory_of(self.child.id()).map_err(BenchError::system("the server's memory"))
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
    pub async fn stop(self) -> Result<(), BenchError> {
        match self.stop_within(STOP_LIMIT).await {
            Ok(_) | Err(BenchError::NotEnding { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends it in order and says how long that took.
    ///
    /// # Errors
    /// [`BenchError::NotEnding`] when it takes longer than `limit`; it is killed then.
    pub async fn stop_within(mut self, limit: Duration) -> Result<Duration, BenchError> {
        let fault = || BenchError::system("stopping the server");
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|error| fault()(error.into()))?;
        let began = Instant::now();
        while began.elapsed() < limit {
            if self.child.try_wait().map_err(fault())?.is_some() {
                return Ok(began.elapsed());
            }
            sleep(POLL_EVERY).await;
        }
        Err(BenchError::NotEnding { program: self.program.clone(), after: limit })
    }

    /// Ends it without a warning, as a crash does; returns once it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until it answers a linearizable read, for `limit` from when it `began`.
    ///
    /// # Errors
    /// When it does not; with the end of its log.
    pub(crate) async fn wait_until_it_serves(&mut self, began: Instant, limit: Duration) -> Result<(), BenchError> {
        let endpoint = Endpoint::parse(self.url())?;
        loop {
            // A server that listens before it has its data may take a request early and answer it late.
            let left = limit.saturating_sub(began.elapsed());
            if timeout(left, answers(&endpoint)).await.unwrap_or(false) {
                self.served_after = began.elapsed();
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(BenchError::system("waiting for the server"))?.is_some();
            if ended || began.elapsed() >= limit {
                let (program, after) = (self.program.clone(), began.elapsed());
                return Err(BenchError::NotServing { program, after, log: tail(&self.home.log()) });
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
fn spawn(program: &Program, home: &Home) -> Result<Child, BenchError> {
    let (url, peer_url) = (home.url(), home.peer_url());
    let log = std::fs::File::create(home.log()).map_err(BenchError::system("the server's log file"))?;
    let errors = log.try_clone().map_err(BenchError::system("the server's log file"))?;
    let mut command = Command::new(&program.path);
    command.args(["--name", home.name(), "--log-level", "error"]).arg("--data-dir").arg(home.data());
    command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
    command.args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]);
    command.args(["--initial-cluster", home.initial_cluster()]).args(&program.flags);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().map_err(BenchError::system(format!("cannot start {}", program.path.display())))
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
