//! Snapshots as files: what the program says of them and makes of them, compared with what etcd and its tools do with the same. What
//! needs no etcd is in the tests of `registry-etcd-files`.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]

mod contents;
mod log;
mod peers;
mod restore;
mod status;

use std::path::Path;
use std::process::{Command, Output};

use registry_server::server::{Config, Running, Server};

/// How a run ended, and what it printed.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: i32,
}

/// Runs a program to its end, with nothing of this environment but the path.
fn ran(program: &Path, line: &[&str]) -> Ran {
    let mut command = Command::new(program);
    command.args(line).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("ETCDCTL_API", "3");
    let Output { status, stdout, stderr } = tokio::task::block_in_place(|| command.output()).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap() }
}

/// What a program prints when it succeeds.
fn says(program: &Path, line: &[&str]) -> String {
    let ran = ran(program, line);
    assert_eq!(ran.code, 0, "{program:?} {line:?}: {ran:?}");
    ran.out
}

/// The program under test.
fn ctl() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_registryctl"))
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server of ours in this process.
async fn node(dir: &Path) -> Running {
    let config = Config {
        data_dir: dir.join("node"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    Server::start(config).await.unwrap()
}
