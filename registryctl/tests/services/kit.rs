//! Servers to ask, the program to ask them with, and the SDK to see what it did.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use registry_client::{Registry, ServiceWatch, Snapshot};
use registry_server::server::{Config, Running, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::etcd::Etcd;

/// Of everything that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A server of either kind, on loopback.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) name: &'static str,
    server: Kind,
}

enum Kind {
    Ours { node: Option<Running>, dir: TempDir },
    Theirs { _etcd: Etcd },
}

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Place {
    /// This server in the test's process.
    pub(crate) async fn ours() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = start(&dir, "http://127.0.0.1:0").await;
        let url = node.client_url().to_owned();
        Self { url, name: "registry-server", server: Kind::Ours { node: Some(node), dir } }
    }

    /// This server, and etcd where it is installed.
    pub(crate) async fn all() -> Vec<Self> {
        let mut places = vec![Self::ours().await];
        if let Some(etcd) = Etcd::start() {
            let place = Self { url: etcd.url.clone(), name: "etcd", server: Kind::Theirs { _etcd: etcd } };
            until("etcd answers", async || place.run(&["get", "x"]).await.code == 0).await;
            places.push(place);
        }
        places
    }

    /// Ends our server. Its files stay.
    pub(crate) async fn stop(&mut self) {
        let Kind::Ours { node, .. } = &mut self.server else { panic!("only ours is stopped") };
        node.take().unwrap().shutdown().await.unwrap();
    }

    /// Starts our server again where it was.
    pub(crate) async fn restart(&mut self) {
        let Kind::Ours { node, dir } = &mut self.server else { panic!("only ours is started again") };
        *node = Some(start(dir, &self.url).await);
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, line: &[&str]) -> Ran {
        ran(&[&["--endpoints", &self.url], line].concat()).await
    }

    /// What it prints when it succeeds.
    pub(crate) async fn prints(&self, line: &[&str]) -> String {
        let ran = self.run(line).await;
        assert_eq!(ran.code, 0, "{} {line:?}: {ran:?}", self.name);
        ran.out
    }

    /// The same, as JSON.
    pub(crate) async fn json(&self, line: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[line, &["-w", "json"]].concat()).await).unwrap()
    }

    pub(crate) fn going(&self, line: &[&str]) -> Going {
        Going::start(&[&["--endpoints", &self.url], line].concat())
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::builder([self.url.clone()]).build().unwrap()
    }

    pub(crate) async fn watch(&self, service: &str) -> ServiceWatch {
        let watch = self.registry().watch(service).start().unwrap();
        watch.synced().await.unwrap();
        watch
    }

    pub(crate) async fn leases(&self) -> usize {
        self.json(&["leases"]).await["leases"].as_array().unwrap().len()
    }
}

async fn start(dir: &TempDir, url: &str) -> Running {
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec![url.parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    Server::start(config).await.unwrap()
}

/// Runs the program to its end.
pub(crate) async fn ran(line: &[&str]) -> Ran {
    let child = spawned(line);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap() }
}

fn spawned(line: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registryctl"));
    command.args(line).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The program while it goes on, with its lines as they come; dropping it kills it.
pub(crate) struct Going {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl Going {
    pub(crate) fn start(line: &[&str]) -> Self {
        let mut child = spawned(line);
        let lines = lines_of(child.stdout.take().unwrap());
        let errors = lines_of(child.stderr.take().unwrap());
        Self { child, lines, errors }
    }

    /// Its next line.
    pub(crate) fn next(&self) -> String {
        let next = tokio::task::block_in_place(|| self.lines.recv_timeout(LIMIT));
        next.unwrap_or_else(|error| panic!("{error}; {:?}", self.errors.try_iter().collect::<Vec<_>>()))
    }

    /// Its next line that is JSON.
    pub(crate) fn next_json(&self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }

    /// The next line on standard error.
    pub(crate) fn next_error(&self) -> String {
        tokio::task::block_in_place(|| self.errors.recv_timeout(LIMIT)).unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, self.child.id());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// Waits for its end, and says with which code.
    pub(crate) async fn code(&mut self) -> i32 {
        self.ended().await.code().unwrap()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The lines that come out of it.
fn lines_of(out: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (told, lines) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    lines
}

/// Sends a signal by its name.
pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "{signal} {pid}");
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(LIMIT, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"));
}

/// Waits until the watch shows what is wanted.
pub(crate) async fn shown(watch: &ServiceWatch, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
    use tokio_stream::StreamExt as _;
    let mut changes = watch.changes();
    let seen = async { while changes.next().await.is_some_and(|snapshot| !wanted(&snapshot)) {} };
    tokio::time::timeout(LIMIT, seen)
        .await
        .unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}; {:?}", watch.snapshot()));
}
