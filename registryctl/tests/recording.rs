//! `docs/registryctl.md` is what the program prints: every command in it is run again, in its order, against a new server,
//! and must print what stands there. `BLESS_RECORDING=1` writes what it prints.
//!
//! What differs from run to run is left out of the comparison: every word with a digit in it, and how wide columns are.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's fixture may panic, and writes its own file"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use registry_server::server::{Config, Running, Server};

/// Begins the lines of the blocks that are run.
const FENCE: &str = "```console";
/// Ends what a command has printed, before its exit code.
const MARK: &str = "--recorded--";
/// No command in the recording takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One shell for all commands, so that jobs and variables live on.
struct Shell {
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// The server's port, for which the recording has etcd's.
    port: String,
}

impl Shell {
    fn start(port: &str, dir: &Path) -> Self {
        let own = Path::new(env!("CARGO_BIN_EXE_registryctl")).parent().unwrap();
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh")
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", dir.to_str().unwrap()), ("LC_ALL", "C.UTF-8")])
            .env("REGISTRYCTL_ENDPOINTS", format!("127.0.0.1:{port}"))
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = mpsc::channel();
        let out = BufReader::new(shell.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut input = shell.stdin.take().unwrap();
        writeln!(input, "exec 2>&1").unwrap();
        Self { shell, input, lines, port: port.to_owned() }
    }

    /// What a command prints, to both outputs.
    fn run(&mut self, command: &str) -> Vec<String> {
        // A program that reads finds nothing to read; its exit code is there for the next command.
        let script = format!("{{ {command}\n}} </dev/null; __code=$?; printf '\\n{MARK}\\n'; (exit $__code)");
        writeln!(self.input, "{script}").unwrap();
        let mut printed = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no end of {command}: {printed:?}"));
            if line == MARK {
                break;
            }
            printed.push(line.replace(&format!(":{}", self.port), ":2379").trim_end().to_owned());
        }
        // The mark begins a line whether or not what was printed has ended one.
        if printed.last().is_some_and(String::is_empty) {
            printed.pop();
        }
        printed
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}

/// A command of the recording, with the number of its first line, and what it printed.
struct Recorded {
    line: usize,
    command: String,
    printed: Vec<String>,
}

/// What the recording is made of.
enum Part {
    /// A line that is kept.
    Kept(String),
    Run(Recorded),
}

fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut inside) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if !inside || line == "```" {
            inside = !inside && line == FENCE;
            parts.push(Part::Kept(line.to_owned()));
        } else if let Some(command) = line.strip_prefix("$ ") {
            parts.push(Part::Run(Recorded { line: number + 1, command: command.to_owned(), printed: Vec::new() }));
        } else {
            let Some(Part::Run(recorded)) = parts.last_mut() else {
                panic!("line {}: a block begins with a command", number + 1);
            };
            match line.strip_prefix("> ").or((line == ">").then_some("")).filter(|_| recorded.printed.is_empty()) {
                Some(more) => recorded.command = format!("{}\n{more}", recorded.command),
                None => recorded.printed.push(line.to_owned()),
            }
        }
    }
    parts
}

/// A line without what differs from run to run.
fn shape(line: &str) -> String {
    let has_digit = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
    let is_rule = |word: &str| word.len() > 1 && word.chars().all(|letter| "+-=─".contains(letter));
    let masked = line.split_whitespace().map(|word| match word {
        word if is_rule(word) => "-",
        word if has_digit(word) => "#",
        word => word,
    });
    masked.collect::<Vec<_>>().join(" ")
}

/// At a port with as many digits as etcd's, or tables would be ruled for another.
async fn server(dir: &Path) -> Running {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (4_000..10_000).find(is_free).unwrap();
    let config = Config {
        data_dir: dir.join("default.registry"),
        listen_client_urls: vec![format!("http://127.0.0.1:{port}").parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    Server::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documentation_shows_is_what_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/registryctl.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = server(dir.path()).await;
    let port = node.client_url().rsplit(':').next().unwrap().to_owned();
    let work = tempfile::tempdir().unwrap();
    let (told, differing) = tokio::task::block_in_place(|| again(&text, &mut Shell::start(&port, work.path())));
    node.shutdown().await.unwrap();
    if std::env::var_os("BLESS_RECORDING").is_some() {
        std::fs::write(&path, told).unwrap();
    } else {
        assert!(differing.is_empty(), "BLESS_RECORDING=1 writes anew what differs:\n{}", differing.join("\n\n"));
    }
}

/// The recording as it is now, and where it is not what it was.
fn again(text: &str, shell: &mut Shell) -> (String, Vec<String>) {
    let (mut told, mut differing, mut commands) = (String::new(), Vec::new(), 0);
    for part in parts(text) {
        let Recorded { line, command, printed } = match part {
            Part::Kept(line) => {
                told.push_str(&format!("{line}\n"));
                continue;
            }
            Part::Run(recorded) => recorded,
        };
        commands += 1;
        let prints = shell.run(&command);
        let shapes = |lines: &[String]| lines.iter().map(|line| shape(line)).collect::<Vec<_>>();
        if shapes(&prints) != shapes(&printed) {
            let (then, now) = (printed.join("\n"), prints.join("\n"));
            differing.push(format!("line {line}: $ {command}\n{then}\n-- and now --\n{now}"));
        }
        told.push_str(&format!("$ {}\n", command.replace('\n', "\n> ").replace("\n> \n", "\n>\n")));
        prints.iter().for_each(|line| told.push_str(&format!("{line}\n")));
    }
    assert!(commands > 0, "there are commands in the recording");
    (told, differing)
}
