//! `compare` with tiny loads, against real processes: this program itself as both servers.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test's fixture may panic, and its runner prints")]

mod runner;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use registry_bench::BenchError;
use registry_bench::compare::{Comparison, Measure, Plan, Row, compare};
use registry_bench::process::Program;
use registry_bench::progress::Progress;
use runner::{Test, is_empty, ours};
use tempfile::TempDir;

const TESTS: [Test; 3] = [
    ("every_load_has_figures_and_is_kept_row_by_row", || Box::pin(every_load_has_figures())),
    ("three_members_are_measured_together_and_apart", || Box::pin(three_members_are_measured())),
    ("a_row_that_fails_says_why_and_the_next_goes_on", || Box::pin(a_row_that_fails_says_why())),
];

fn main() -> ExitCode {
    runner::run(&TESTS)
}

fn tiny(rows: &[Row]) -> Plan {
    Plan {
        rows: rows.to_vec(),
        pairs: 1,
        duration: Duration::from_millis(200),
        warmup: Duration::from_millis(20),
        clients: 10,
        connections: 4,
        key_space: 200,
        ..Plan::default()
    }
}

fn theirs() -> Program {
    Program { name: "theirs".to_owned(), ..ours() }
}

/// The comparison, what was said, and how many rows there were each time it was kept.
async fn measure(plan: &Plan, peer: &Program, root: &Path) -> Result<(Comparison, String, Vec<usize>), BenchError> {
    let (mut said, mut kept) = (String::new(), Vec::new());
    let keep = |comparison: &Comparison| {
        kept.push(comparison.rows.len());
        Ok(())
    };
    let say = |line: &str| {
        said.push_str(line);
        said.push('\n');
    };
    let comparison = compare(plan, [&ours(), peer], root, &Progress::new(), keep, say).await?;
    Ok((comparison, said, kept))
}

const LOADS: [Row; 9] =
    [Row::Put1, Row::Put, Row::Get, Row::GetSerializable, Row::Range, Row::KeepAlive, Row::Txn, Row::FanOut, Row::Lag];

async fn every_load_has_figures() {
    let root = TempDir::new().unwrap();
    let (comparison, said, kept) = measure(&tiny(&LOADS), &theirs(), root.path()).await.unwrap();
    assert_eq!(kept, (1..=LOADS.len()).collect::<Vec<_>>());
    assert!(comparison.failed().is_empty(), "{said}");
    for outcome in &comparison.rows {
        let throughput = outcome.lines.iter().find(|line| line.measure == Measure::Throughput).unwrap();
        assert!(throughput.values.len() == 2 && throughput.ratio.is_some_and(|ratio| ratio.min > 0.0), "{outcome:?}");
        assert!(outcome.lines.iter().any(|line| line.goal.is_some()), "{outcome:?}");
        assert!(said.contains(&format!("\n{}: ", outcome.row.name())), "{said}");
    }
    assert!(is_empty(root.path()), "data are left");
}

async fn three_members_are_measured() {
    let root = TempDir::new().unwrap();
    let plan = Plan { nodes: 3, ..tiny(&[Row::GetSerializable, Row::FanOut]) };
    let (comparison, said, _) = measure(&plan, &theirs(), root.path()).await.unwrap();
    assert!(comparison.failed().is_empty(), "{said}");
    for sample in comparison.rows.iter().flat_map(|row| row.pairs.iter().flatten()) {
        let server = sample.figures.as_ref().and_then(|figures| figures.server.as_ref()).unwrap();
        assert_eq!(server.members.len(), 3);
        let resident: u64 = server.members.iter().map(|member| member.resident_bytes).sum();
        assert_eq!(server.resident_bytes, resident);
        assert!(server.members.iter().all(|member| member.resident_bytes > 1 << 20), "{server:?}");
    }
    assert!(is_empty(root.path()), "data are left");
}

async fn a_row_that_fails_says_why() {
    let root = TempDir::new().unwrap();
    let missing = Program { name: "missing".to_owned(), path: root.path().join("missing"), flags: Vec::new() };
    let (comparison, said, kept) = measure(&tiny(&[Row::Put, Row::Txn]), &missing, root.path()).await.unwrap();
    assert_eq!((comparison.failed(), kept), (vec!["put".to_owned(), "txn".to_owned()], vec![1, 2]));
    assert!(comparison.rows.iter().all(|row| row.lines.is_empty()));
    assert!(said.contains("no figures: cannot start") && said.contains("0 of 0 goals"), "{said}");
    assert!(is_empty(root.path()), "data are left");
}
