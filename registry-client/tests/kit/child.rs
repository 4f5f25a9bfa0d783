//! A process of its own that holds a registration and ends as it is told: the test program, run again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use registry_client::{Registration, Registry};

use super::{Corner, instance};

const HOW: &str = "HOLDER_ENDS_BY";
const ENDPOINT: &str = "HOLDER_ENDPOINT";
const NAMESPACE: &str = "HOLDER_NAMESPACE";
const TTL: &str = "HOLDER_TTL";
const STANDS: &str = "it stands";

/// How a holder ends once it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It never does, and is killed.
    Killed,
    Unwinds,
    DropsRuntime,
    Exits,
    Forgets,
    /// The registration lives in a static, and `main` returns.
    Static,
    /// A program of its own, whose panics abort.
    Aborts,
}

/// The holder of the instance `1`. Dropping it kills it.
pub(crate) struct Holder {
    process: std::process::Child,
}

impl Holder {
    /// Waits until the registration stands.
    pub(crate) fn start(corner: &Corner, end: End, ttl: Duration) -> Self {
        let mut command = match end {
            End::Aborts => Command::new(aborting_program()),
            _ => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--ignored", "--exact", "--nocapture", "kit::child::holds_until_it_is_told"]);
                command
            }
        };
        command.env(HOW, format!("{end:?}")).env(ENDPOINT, corner.endpoint()).env(NAMESPACE, &corner.namespace);
        command.env(TTL, ttl.as_secs().to_string()).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(STANDS)), "the holder of {end:?} ended before it stood");
        // What it says later must not meet a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process }
    }

    /// Ends it in its way, from now on.
    pub(crate) fn end(&mut self, end: End) {
        match end {
            End::Killed => self.process.kill().unwrap(),
            _ => self.process.stdin.take().unwrap().write_all(b"end\n").unwrap(),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The example `aborts`, built so that panics abort, over the dependencies that this program was built with.
fn aborting_program() -> std::path::PathBuf {
    let mut build = Command::new(env!("CARGO"));
    // All packages, as otherwise the dependencies would have other features than in a build of the workspace.
    build.args(["build", "--workspace", "--example", "aborts"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kit/aborting_rustc"));
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(), "it can be built");
    // This program lies in `<target>/<profile>/deps`.
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/aborts")
}

#[test]
#[ignore = "is run by other tests, as a process of its own"]
#[expect(clippy::exit, clippy::mem_forget, reason = "these are among the ends")]
fn holds_until_it_is_told() {
    static HELD: OnceLock<Registration> = OnceLock::new();
    let variable = |name| std::env::var(name).unwrap();
    let ttl = Duration::from_secs(variable(TTL).parse().unwrap());
    let registry = Registry::builder([variable(ENDPOINT)]).namespace(variable(NAMESPACE)).build().unwrap();
    let _guard = registry.guard();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registration = runtime.block_on(registry.register(instance("1")).ttl(ttl).into_future()).unwrap();
    println!("{STANDS}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    match variable(HOW).as_str() {
        "Unwinds" => panic!("on purpose, with the registration held"),
        "DropsRuntime" => {
            runtime.spawn(async move {
                let _registration = registration;
                std::future::pending::<()>().await;
            });
            drop(runtime);
            // The process goes on.
            std::thread::park();
        }
        "Exits" => std::process::exit(0),
        "Forgets" => std::mem::forget(registration),
        "Static" => drop(HELD.set(registration)),
        other => panic!("{other} is no end of this program's own"),
    }
}
