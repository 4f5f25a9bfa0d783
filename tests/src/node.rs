//! The server as a child process, which can be told to stop, killed, and started again on its data.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::budget::{SEGMENT_BYTES, SOON, START, STOP};
use crate::client::Client;
use crate::wait::eventually;

/// Lines of log that are kept.
const LOG_LINES: usize = 20_000;
const READY: &str = "ready to serve client requests";

/// A server in a child process. Dropping it kills and reaps the child.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    data_dir: PathBuf,
    flags: Vec<String>,
    process: Process,
    url: String,
    /// Removed with the node; none if the caller brought a directory.
    _own_dir: Option<TempDir>,
}

/// A server that ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard error, without log lines.
    pub said: Vec<String>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Node {
    /// Starts `program`, which is `env!("CARGO_BIN_EXE_node")` in a suite, on a directory of its own and a
    /// port that the system chooses; `flags` are added.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    pub async fn start(program: &str, flags: &[&str]) -> Self {
        let dir = TempDir::new().expect("temporary directories can be made");
        let data_dir = dir.path().join("data");
        let mut node = Self::try_start(program, &data_dir, flags).await.unwrap_or_else(|refused| panic!("{refused}"));
        node._own_dir = Some(dir);
        node
    }

    /// Starts `program` on a directory of the caller's.
    ///
    /// # Errors
    /// When it ends before it serves.
    ///
    /// # Panics
    /// When it neither serves nor ends within [`START`].
    pub async fn try_start(program: &str, data_dir: &Path, flags: &[&str]) -> Result<Self, Refused> {
        let flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        let (process, url) = launch(Path::new(program), data_dir, &flags).await?;
        Ok(Self { program: program.into(), data_dir: data_dir.into(), flags, process, url, _own_dir: None })
    }

    /// Where clients are served, as `http://127.0.0.1:port`. A restart changes the port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All URLs where clients are served.
    ///
    /// # Panics
    /// When the log does not tell.
    #[must_use]
    pub fn client_urls(&self) -> Vec<String> {
        self.process.ready_urls("urls").expect("it serves")
    }

    /// The extra URLs of figures and health.
    ///
    /// # Panics
    /// When the log does not tell.
    #[must_use]
    pub fn metrics_urls(&self) -> Vec<String> {
        self.process.ready_urls("metrics_urls").expect("it serves")
    }

    /// The same without the scheme, as etcdctl takes it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The most resident memory the process has had so far, in bytes (Linux).
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number of kB");
        kibibytes * 1024
    }

    /// A client of this node.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url).await
    }

    /// Kills the process as a power cut does to it, and starts it again.
    ///
    /// # Panics
    /// When it does not serve again.
    pub async fn restart(&mut self) {
        self.kill9();
        self.start_again().await;
    }

    /// Starts the process again after [`Self::kill9`] or [`Self::terminate`].
    ///
    /// # Panics
    /// When it does not serve again.
    pub async fn start_again(&mut self) {
        let launched = launch(&self.program, &self.data_dir, &self.flags).await;
        (self.process, self.url) = launched.unwrap_or_else(|refused| panic!("the restart failed: {refused}"));
    }

    /// SIGKILL; returns once the process is gone, with how it ended: it may have done so by itself before.
    pub fn kill9(&mut self) -> ExitStatus {
        self.process.kill()
    }

    /// Starts the process again and kills it `after` that, wherever it is by then; returns how it ended.
    pub async fn start_and_kill9(&mut self, after: Duration) -> ExitStatus {
        self.process = spawn(&self.program, &self.data_dir, &self.flags);
        sleep(after).await;
        self.kill9()
    }

    /// SIGTERM; returns how the process ended.
    ///
    /// # Panics
    /// When it does not end within [`STOP`].
    pub async fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.process.child);
        kill_process(pid, Signal::TERM).expect("the process was not reaped yet");
        self.process.ended(STOP).await
    }

    /// Whether some log line since the last start holds `text`.
    #[must_use]
    pub fn log_contains(&self, text: &str) -> bool {
        self.process.log.lock().iter().any(|line| line.contains(text))
    }

    /// The log's lines since the last start.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.log.lock().iter().cloned().collect()
    }

    /// Waits until some log line holds `text`.
    pub async fn wait_for_log(&self, text: &str) {
        eventually(SOON, text, async || self.log_contains(text)).await;
    }
}

impl Process {
    async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        let child = Mutex::new((&mut self.child, &mut status));
        eventually(limit, "the process ends", async || {
            let (child, status) = &mut *child.lock();
            **status = child.try_wait().expect("a child can be waited for");
            status.is_some()
        })
        .await;
        self.read_to_end();
        status.expect("set when the wait ended")
    }

    fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself.
        drop(self.child.kill());
        let status = self.child.wait().expect("a child can be waited for");
        self.read_to_end();
        status
    }

    fn read_to_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }

    fn ready_url(&self) -> Option<String> {
        self.ready_urls("urls")?.into_iter().next()
    }

    fn ready_urls(&self, field: &str) -> Option<Vec<String>> {
        let log = self.log.lock();
        let line = log.iter().find(|line| line.contains(READY))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        serde_json::from_str(line[field].as_str()?).ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server ended with {} and said {:?}", self.status, self.said)
    }
}

async fn launch(program: &Path, data_dir: &Path, flags: &[String]) -> Result<(Process, String), Refused> {
    let mut process = spawn(program, data_dir, flags);
    let mut ended = None;
    let mut url = None;
    let state = Mutex::new((&mut process, &mut ended, &mut url));
    eventually(START, "the server serves", async || {
        let (process, ended, url) = &mut *state.lock();
        **url = process.ready_url();
        **ended = process.child.try_wait().expect("a child can be waited for");
        url.is_some() || ended.is_some()
    })
    .await;
    if let Some(url) = url {
        return Ok((process, url));
    }
    process.read_to_end();
    let said = process.log.lock().iter().filter(|line| !line.starts_with('{')).cloned().collect();
    Err(Refused { status: ended.expect("it ended or serves"), said })
}

fn spawn(program: &Path, data_dir: &Path, flags: &[String]) -> Process {
    let mut command = Command::new(program);
    // First the kit's own, so that a caller's flags win.
    command.arg("--data-dir").arg(data_dir).args(["--listen-client-urls", "http://127.0.0.1:0"]);
    command.arg(format!("--wal-segment-bytes={SEGMENT_BYTES}")).args(flags);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    let stderr = child.stderr.take().expect("it is piped");
    let log = Arc::new(Mutex::new(VecDeque::new()));
    let lines = log.clone();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut lines = lines.lock();
            if lines.len() == LOG_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
    Process { child, log, reader: Some(reader) }
}
