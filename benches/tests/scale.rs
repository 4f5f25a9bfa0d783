//! `scale` with some hundred keys, against real processes: this program itself as the server, and etcd where it
//! is installed.
//!
//! Started with a server's flags, this program is `registry-server`; otherwise it runs its tests. Arguments that
//! are no flags choose tests by a part of their names, as elsewhere.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's fixture may panic, and its runner prints")]

mod runner;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use registry_bench::BenchError;
use registry_bench::process::Program;
use registry_bench::progress::Progress;
use registry_bench::scale::{Comparison, Filling, Plan, compare};
use runner::{Test, is_empty, ours};
use tempfile::TempDir;

const ETCD: &str = "/usr/bin/etcd";

const TESTS: [Test; 5] = [
    ("every_figure_of_a_small_scale_is_there", || Box::pin(every_figure_of_a_small_scale_is_there())),
    ("single_puts_are_one_store_revision_each", || Box::pin(single_puts_are_one_store_revision_each())),
    ("a_server_that_comes_back_empty_has_no_figures", || Box::pin(a_server_that_comes_back_empty_has_no_figures())),
    ("giving_up_ends_the_servers_and_removes_their_data", || Box::pin(giving_up_ends_the_servers())),
    ("etcd_is_measured_in_turn_with_ours", || Box::pin(etcd_is_measured_in_turn_with_ours())),
];

fn main() -> ExitCode {
    runner::run(&TESTS)
}

fn small() -> Plan {
    Plan {
        key_space: 300,
        revisions: 950,
        filling: Filling::Txns(100),
        clients: 8,
        connections: 2,
        pairs: 1,
        duration: Duration::from_millis(200),
        warmup: Duration::from_millis(20),
        restarts: 2,
        rest: Duration::from_millis(100),
        start_limit: Duration::from_secs(60),
        ..Plan::default()
    }
}

async fn measure(plan: &Plan, programs: &[Program], root: &Path) -> Result<(Comparison, String), BenchError> {
    let mut said = String::new();
    let say = |line: &str| {
        said.push_str(line);
        said.push('\n');
    };
    let comparison = compare(plan, programs, root, &Progress::new(), say).await?;
    Ok((comparison, said))
}

async fn every_figure_of_a_small_scale_is_there() {
    let root = TempDir::new().unwrap();
    let (comparison, said) = measure(&small(), &[ours()], root.path()).await.unwrap();

    let filled = &comparison.filled[0];
    assert_eq!((filled.key_revisions, filled.store_revisions), (950, 10));
    assert!(filled.memory.resident_bytes > 1 << 20 && filled.disk.allocated_bytes > 950 * 256, "{filled:?}");
    assert_eq!(comparison.rows.len(), 4);
    assert!(comparison.rows.iter().all(|row| row.rounds[0][0].operations > 0 && row.ratios.is_none()));
    let restarts = &comparison.restarts;
    assert_eq!((restarts.ordered.len(), restarts.crashed.len()), (2, 1));
    for restart in restarts.ordered.iter().flatten() {
        assert!(restart.seconds > 0.0 && restart.stop_seconds.is_some(), "{restart:?}");
        assert!(restart.rested.resident_bytes > 1 << 20, "{restart:?}");
    }
    assert_eq!(restarts.crashed[0].stop_seconds, None);
    for line in &comparison.table {
        assert!(said.contains(&line.what), "{} is not shown", line.what);
        assert_eq!((line.values.len(), line.ratio), (1, None), "{line:?}");
    }
    assert!(is_empty(root.path()), "data are left");
}

async fn single_puts_are_one_store_revision_each() {
    let root = TempDir::new().unwrap();
    let plan = Plan { filling: Filling::Singles, pairs: 0, restarts: 1, ..small() };
    let (comparison, _) = measure(&plan, &[ours()], root.path()).await.unwrap();
    assert_eq!(comparison.filled[0].store_revisions, 950);
    assert!(comparison.rows.is_empty());
}

/// A server that forgets is the fastest to start.
async fn a_server_that_comes_back_empty_has_no_figures() {
    let root = TempDir::new().unwrap();
    let plan = Plan { pairs: 0, ..small() };
    let failure = measure(&plan, &[forgetful(root.path())], root.path()).await.unwrap_err().to_string();
    assert!(failure.contains("forgetful has 0 keys at revision 1 instead of 300 keys at revision 11"), "{failure}");
}

/// Our server, with its data removed before each start.
fn forgetful(dir: &Path) -> Program {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("forgetful");
    let exe: PathBuf = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nfor flag; do test \"$last\" = --data-dir && rm -rf \"$flag\"; last=$flag; done\nexec '{}' \"$@\"\n",
        exe.display()
    );
    #[expect(clippy::disallowed_methods, reason = "a test's fixture is no part of a node")]
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Program { name: "forgetful".to_owned(), path, flags: Vec::new() }
}

/// What a signal does to the program: it drops the measurement.
async fn giving_up_ends_the_servers() {
    let root = TempDir::new().unwrap();
    let plan = Plan { duration: Duration::from_secs(60), warmup: Duration::ZERO, ..small() };
    let loaded = std::cell::Cell::new(false);
    let programs = [ours()];
    let progress = Progress::new();
    let measurement = compare(&plan, &programs, root.path(), &progress, |line| {
        loaded.set(loaded.get() || line.contains("put of 256 bytes"));
    });
    let into_the_first_row = async {
        eventually(|| loaded.get()).await;
        let before = last_write(root.path());
        // Puts arrive, of the 60 s that the row lasts.
        eventually(|| last_write(root.path()) > before).await;
        assert_eq!(servers_below(root.path()), 1);
    };
    let began = tokio::time::Instant::now();
    tokio::select! {
        outcome = measurement => panic!("it ended: {outcome:?}"),
        () = into_the_first_row => {}
    }
    assert!(is_empty(root.path()), "data are left");
    assert_eq!(servers_below(root.path()), 0, "a server still runs");
    assert!(began.elapsed() < Duration::from_secs(40), "the row was waited for: {:?}", began.elapsed());
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// When the last change was made to a file below `dir`.
fn last_write(dir: &Path) -> Option<SystemTime> {
    let entries = dir.read_dir().into_iter().flatten().flatten();
    let times = entries.filter_map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => last_write(&entry.path()),
        Ok(metadata) => metadata.modified().ok(),
        Err(_) => None,
    });
    times.max()
}

/// How many processes have been given a data directory below `root`.
fn servers_below(root: &Path) -> usize {
    let root = root.to_str().unwrap();
    let processes = Path::new("/proc").read_dir().unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(root)).count()
}

async fn etcd_is_measured_in_turn_with_ours() {
    if !Path::new(ETCD).exists() {
        println!("passed over: {ETCD} is not installed");
        return;
    }
    let root = TempDir::new().unwrap();
    let etcd = Program { name: "etcd".to_owned(), path: ETCD.into(), flags: Vec::new() };
    let (comparison, said) = measure(&small(), &[ours(), etcd], root.path()).await.unwrap();
    assert_eq!(comparison.filled[0].store_revisions, comparison.filled[1].store_revisions);
    assert!(comparison.rows.iter().all(|row| row.ratios.is_some()));
    assert!(comparison.restarts.ordered.iter().all(|round| round.len() == 2));
    for line in &comparison.table {
        assert!(line.ratio.is_some() || line.values[1].median == 0.0, "{line:?}");
    }
    assert!(said.contains("ours ÷ etcd"), "{said}");
}
