//! The program, and a server for it in this process.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;

/// What a run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

/// A server, and the program with its address.
pub(crate) struct Ctl {
    pub(crate) node: Running,
    _dir: TempDir,
}

impl Ctl {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().join("node"),
            listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
            worker_threads: Some(1),
            ..Config::default()
        };
        Self { node: Server::start(config).await.unwrap(), _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        self.node.client_url().to_owned()
    }

    /// Runs it with nothing on standard input.
    pub(crate) async fn run(&self, line: &[&str]) -> Ran {
        let url = self.url();
        ran(&[&["--endpoints", &url], line].concat()).await
    }

    /// What it prints when it succeeds.
    pub(crate) async fn prints(&self, line: &[&str]) -> String {
        let ran = self.run(line).await;
        assert_eq!(ran.code, 0, "{line:?}: {ran:?}");
        ran.out
    }
}

/// Runs it, with an environment that has nothing but PATH.
pub(crate) async fn ran(line: &[&str]) -> Ran {
    ended(command(line), "").await
}

/// Runs what was prepared, with this on standard input.
pub(crate) async fn ended(mut command: Command, input: &str) -> Ran {
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        // Who is through with its arguments may have ended.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    };
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap() }
}

/// The program, to be started, with its three streams in pipes.
pub(crate) fn command(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registryctl"));
    command.args(line).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that goes on, with its lines as they come; dropping it ends it.
pub(crate) struct Going {
    pub(crate) child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
}

impl Going {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, out, err }
    }

    /// The next line of standard output.
    pub(crate) fn next(&self) -> String {
        tokio::task::block_in_place(|| self.out.recv_timeout(Duration::from_secs(30))).unwrap()
    }

    /// The next line of standard error.
    pub(crate) fn next_told(&self) -> String {
        tokio::task::block_in_place(|| self.err.recv_timeout(Duration::from_secs(30))).unwrap()
    }

    pub(crate) fn enter(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (told, lines) = mpsc::channel();
    let lines_of = BufReader::new(stream).lines();
    std::thread::spawn(move || lines_of.map_while(Result::ok).try_for_each(|line| told.send(line)));
    lines
}

impl Drop for Going {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
