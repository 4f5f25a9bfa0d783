//! etcd itself, as Debian has it: the judge of what is written here about its behaviour. Suites that need it
//! say so and end where it is missing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::budget::{START, STOP};
use crate::wait::eventually;

/// Where the package puts it.
pub const PATH: &str = "/usr/bin/etcd";

/// Files in memory, as nothing here is about durability.
const MEMORY: &str = "/dev/shm";

/// An etcd of one member, of the version that is installed (Debian has 3.4). Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Etcd {
    process: Child,
    url: String,
    reader: Option<thread::JoinHandle<()>>,
    _dir: Option<TempDir>,
}

impl Etcd {
    /// Starts etcd; none, and a printed line, where it is not installed or not a 3.4.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    pub async fn start() -> Option<Self> {
        if !is_there() {
            return None;
        }
        let dir = fast_dir();
        let mut etcd = Self::start_on(Path::new(PATH), &dir.path().join("data")).await;
        etcd._dir = Some(dir);
        Some(etcd)
    }

    /// Starts an etcd, of whichever version `program` is, on a directory of the caller's, which may have data.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    pub async fn start_on(program: &Path, data_dir: &Path) -> Self {
        let (process, address, reader) = spawn(program, data_dir);
        let mut etcd = Self { process, url: String::new(), reader: Some(reader), _dir: None };
        eventually(START, "etcd serves", async || address.lock().is_some()).await;
        etcd.url = format!("http://{}", address.lock().take().expect("it serves"));
        etcd
    }

    /// Whether Debian's is installed; prints a line when it is not.
    #[must_use]
    pub fn is_there() -> bool {
        is_there()
    }

    /// SIGTERM; returns when the process has ended.
    ///
    /// # Panics
    /// When it does not end within [`STOP`].
    pub async fn terminate(mut self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).expect("the process was not reaped yet");
        let process = Mutex::new(&mut self.process);
        let has_ended = async || process.lock().try_wait().expect("a child can be waited for").is_some();
        eventually(STOP, "etcd ends", has_ended).await;
    }

    /// Where clients are served.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// Whether a 3.4 is installed; prints a line when it is not.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn is_there() -> bool {
    let says = Command::new(PATH).env_clear().arg("--version").output();
    let is_3_4 = says.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("etcd Version: 3.4."));
    if !is_3_4 {
        eprintln!("skipped: {PATH} is not installed, or no etcd 3.4");
    }
    is_3_4
}

/// A directory of its own, in memory where that can be.
pub(crate) fn fast_dir() -> TempDir {
    let memory = Path::new(MEMORY);
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::new_in(parent).expect("temporary directories can be made")
}

/// The address where clients are served, once the log tells it.
type Address = Arc<Mutex<Option<String>>>;

fn spawn(program: &Path, data_dir: &Path) -> (Child, Address, thread::JoinHandle<()>) {
    let anywhere = "http://127.0.0.1:0";
    let mut command = Command::new(program);
    command.env_clear().arg("--data-dir").arg(data_dir);
    for urls in ["listen-client-urls", "advertise-client-urls", "listen-peer-urls", "initial-advertise-peer-urls"] {
        command.arg(format!("--{urls}={anywhere}"));
    }
    command.arg(format!("--initial-cluster=default={anywhere}")).args(["--logger=zap", "--log-outputs=stderr"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("etcd can be started");
    let stderr = child.stderr.take().expect("it is piped");
    let address = Address::default();
    let told = address.clone();
    // Read to the end, so that etcd never waits for its log.
    let reader = thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains("serving client traffic insecurely") {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                *told.lock() = line["address"].as_str().map(str::to_owned);
            }
        }
    });
    (child, address, reader)
}
