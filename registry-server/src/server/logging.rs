//! Where the process's log lines go, and how they look.
//!
//! Set up once, by the program and not by the node: one that embeds a node keeps its own subscriber.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use super::config::{Config, LogFormat, LogLevel, LogOutput};

/// Libraries whose inner life is of no interest above debug.
const QUIET: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "tower"];

/// Sends this process's log lines where `config` says.
///
/// # Errors
/// When a subscriber is set already; that one stays.
pub fn init(config: &Config) -> Result<(), TryInitError> {
    let writer = match config.log_output {
        LogOutput::Stderr => BoxMakeWriter::new(std::io::stderr),
        LogOutput::Stdout => BoxMakeWriter::new(std::io::stdout),
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        // Colours only where a person reads: never into a file or a pipe.
        LogFormat::Console => fmt::layer().with_ansi(is_terminal(config.log_output)).with_writer(writer).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(config.log_level))).try_init()
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

fn is_terminal(output: LogOutput) -> bool {
    use std::io::IsTerminal;
    match output {
        LogOutput::Stderr => std::io::stderr().is_terminal(),
        LogOutput::Stdout => std::io::stdout().is_terminal(),
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
