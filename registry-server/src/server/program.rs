//! The program: reads its command line, serves until it is told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::flags::{self, FlagsError, Parsed};
use super::{Config, Server, logging, notify};

/// Runs `registry-server` with this process's arguments and environment until a signal or a failure ends it.
/// A binary's `main` has nothing else to do.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = match flags::parse(std::env::args().skip(1), std::env::vars()) {
        Ok(parsed) => parsed,
        Err(FlagsError::Usage(usage)) => return show(&usage),
        Err(error) => return refuse(&error),
    };
    match run(parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

fn run(parsed: Parsed) -> Result<(), Box<dyn std::error::Error>> {
    let Parsed { config, warnings } = parsed;
    // Dropped last: what is logged up to the end is written.
    let _log = logging::init(&config)?;
    for line in warnings {
        tracing::warn!("{line}");
    }
    // The node brings its own threads; this one only waits for signals.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), name = %config.name, data_dir = %config.data_dir.display(), "starting");
    let mut node = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        node = Server::start(config) => node?,
    };
    notify::ready();
    let signal = tokio::select! {
        biased;
        outcome = node.stopped() => return Ok(outcome?),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal, "stopping on a signal");
    notify::stopping();
    Ok(node.shutdown().await?)
}

/// Help and version go to standard output and are no error; a wrong flag is, and is told in one line.
fn show(usage: &clap::Error) -> ExitCode {
    if usage.use_stderr() {
        return refuse(&one_line(&usage.render().to_string()));
    }
    // A closed pipe is the reader's choice.
    drop(usage.print());
    ExitCode::SUCCESS
}

/// What is wrong and, where clap has one, its tip; not the usage, which `--help` tells in full.
fn one_line(usage: &str) -> String {
    let mut lines = usage.lines().map(str::trim);
    let wrong = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find(|line| line.starts_with("tip: "));
    tip.map_or_else(|| format!("{wrong}; see --help"), |tip| format!("{wrong}; {tip}"))
}

#[expect(clippy::print_stderr, reason = "the last word of a program that does not start, log or no log")]
fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("registry-server: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_flag_is_told_in_one_line_with_the_tip() {
        let line = |flag: &str| match flags::parse([flag.to_owned()], []) {
            Err(FlagsError::Usage(usage)) => one_line(&usage.render().to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(line("--bogus"), "unexpected argument '--bogus' found; see --help");
        let misspelt = "unexpected argument '--data-di' found; tip: a similar argument exists: '--data-dir'";
        assert_eq!(line("--data-di=x"), misspelt);
    }
}
