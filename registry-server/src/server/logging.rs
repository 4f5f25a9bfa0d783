//! Where the process's log lines go, and how they look.
//!
//! Set up once, by the program and not by the node: one that embeds a node keeps its own subscriber.

use std::io;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use super::config::{Config, LogFormat, LogLevel, LogOutput};
use super::log_lines::{Lines, Log, LogGuard, Output};
use super::log_rotation::{LogFile, LogRotation};
use crate::api::audit::TARGET;

/// Libraries whose inner life is of no interest above debug.
const QUIET: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "tower"];

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// A file that cannot be written to.
    #[error("{flag}: cannot open {}: {source}; check that its directory is there and that this user may write", file.display())]
    File {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Lines have a thread of their own.
    #[error("the log cannot be started: {0}")]
    Thread(#[from] io::Error),
    /// A subscriber is set already; that one stays.
    #[error(transparent)]
    Taken(#[from] TryInitError),
}

/// Ends the logs when it is dropped, after the last lines.
#[derive(Debug)]
#[must_use = "lines are written as long as it is held"]
pub struct LogGuards {
    _lines: LogGuard,
    _audit: Option<LogGuard>,
}

/// Sends this process's log lines where `config` says, as long as the guards are held.
///
/// # Errors
/// A file that cannot be opened, or a subscriber that is set already.
pub fn init(config: &Config) -> Result<LogGuards, LoggingError> {
    let rotation = || config.log_rotation.clone();
    let outputs = config.log_outputs.iter().map(|output| open("--log-outputs", output, rotation()));
    let outputs: Result<Vec<_>, _> = outputs.collect();
    let (writer, guard) = Lines::start(Log::Own, outputs?)?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        // Colours only where a person reads: never into a file or a pipe.
        LogFormat::Console => {
            let is_read = config.log_outputs.iter().all(is_terminal);
            fmt::layer().with_ansi(is_read).with_writer(writer).boxed()
        }
    };
    let (audit, audit_guard) = match &config.audit_log {
        None => (None, None),
        Some(output) => {
            let (writer, guard) = Lines::start(Log::Audit, vec![open("--audit-log", output, None)?])?;
            let layer = fmt::layer().json().flatten_event(true).with_level(false).with_writer(writer);
            (Some(layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))), Some(guard))
        }
    };
    let lines = lines.with_filter(filter(config.log_level).with_target(TARGET, LevelFilter::OFF));
    tracing_subscriber::registry().with(lines).with(audit).try_init()?;
    Ok(LogGuards { _lines: guard, _audit: audit_guard })
}

fn open(flag: &'static str, output: &LogOutput, rotation: Option<LogRotation>) -> Result<Output, LoggingError> {
    Ok(match output {
        LogOutput::Stderr => Output::Stderr,
        LogOutput::Stdout => Output::Stdout,
        LogOutput::File(file) => {
            let opened = LogFile::open(file, rotation);
            Output::File(opened.map_err(|source| LoggingError::File { flag, file: file.clone(), source })?)
        }
    })
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // At debug the libraries tell what an operator wants at info; their frames are never wanted.
    let libraries = if level == LevelFilter::DEBUG { LevelFilter::INFO } else { level.min(LevelFilter::WARN) };
    let all = Targets::new().with_default(level);
    let quiet = QUIET.iter().fold(all, |targets, library| targets.with_target(*library, libraries));
    // It warns of each attempt at a peer that is away, several times a second; the transport says it once.
    let raft = if level == LevelFilter::DEBUG { libraries } else { LevelFilter::ERROR };
    quiet.with_target("openraft", raft)
}

fn is_terminal(output: &LogOutput) -> bool {
    use std::io::IsTerminal;
    match output {
        LogOutput::Stderr => io::stderr().is_terminal(),
        LogOutput::Stdout => io::stdout().is_terminal(),
        LogOutput::File(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_are_quiet_at_info() {
        let filter = filter(LogLevel::Info);
        assert!(filter.would_enable("registry_server::server", &Level::INFO));
        assert!(!filter.would_enable("openraft::core", &Level::INFO));
        assert!(!filter.would_enable("openraft::core", &Level::WARN));
        assert!(filter.would_enable("openraft::core", &Level::ERROR));
        assert!(filter.would_enable("hyper::client", &Level::WARN));
    }

    #[test]
    fn an_error_only_log_holds_no_warnings_of_libraries() {
        assert!(!filter(LogLevel::Error).would_enable("h2::proto", &Level::WARN));
    }
}
