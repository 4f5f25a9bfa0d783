//! A process that watches one service and prints every snapshot as a line: the suites start it, and stop it for a while.
//!
//! Its arguments are the service and the members' URLs. A line is the revision, `fresh` or `stale`, and the ids. It ends
//! with the process that started it, whose end closes its standard input.

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;

use registry_client::{Freshness, Registry, Snapshot};
use tokio::select;
use tokio_stream::StreamExt;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a failed test shows it")]
async fn main() -> ExitCode {
    match watch().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watcher: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn watch() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let service = arguments.next().ok_or("no service")?;
    let registry = Registry::builder(arguments).build()?;
    let mut changes = registry.watch(service).start()?.changes();
    let mut told = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    loop {
        select! {
            snapshot = changes.next() => print(&*snapshot.ok_or("the watch has ended")?)?,
            _ = &mut told => return Ok(()),
        }
    }
}

fn print(snapshot: &Snapshot) -> std::io::Result<()> {
    let freshness = if snapshot.freshness() == Freshness::Synced { "fresh" } else { "stale" };
    let ids: Vec<_> = snapshot.instances().iter().map(|found| found.id()).collect();
    writeln!(std::io::stdout(), "{} {freshness} {}", snapshot.revision(), ids.join(" "))
}
