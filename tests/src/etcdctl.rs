//! etcd's own command-line tool, as Debian has it. Suites that need it say so and end where it is missing.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Where the package puts it.
pub const PATH: &str = "/usr/bin/etcdctl";

/// Whether the tool is there; prints a line when it is not.
#[must_use]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub fn is_there() -> bool {
    let there = Path::new(PATH).exists();
    if !there {
        eprintln!("skipped: {PATH} is not installed");
    }
    there
}

/// The tool, aimed at `address`.
fn command(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PATH);
    command.env_clear().env("ETCDCTL_API", "3").args(["--endpoints", address]).args(arguments).stdin(Stdio::null());
    command
}

/// Runs the tool to its end, whatever that is.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(address: &str, arguments: &[&str]) -> Output {
    command(address, arguments).output().expect("etcdctl can be started")
}

/// What the tool prints when it succeeds.
///
/// # Panics
/// When it fails.
pub fn say(address: &str, arguments: &[&str]) -> String {
    let output = run(address, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "etcdctl {arguments:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// The tool left running, with its input and output as pipes. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Left(pub Child);

/// Leaves the tool running.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn leave(address: &str, arguments: &[&str]) -> Left {
    let mut command = command(address, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Left(command.spawn().expect("etcdctl can be started"))
}

impl Drop for Left {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
