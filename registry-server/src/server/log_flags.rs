//! The flags of the log, as etcd has them.

use std::time::Duration;

use clap::Args;

use super::config::{LogFormat, LogLevel, LogOutput};
use super::go_values;
use super::log_rotation::LogRotation;

/// How etcd writes its default.
const ROTATION: &str = r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#;

/// Those flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(super) struct LogFlags {
    /// debug, info, warn, error, panic or fatal.
    #[arg(long, value_name = "LEVEL", value_parser = level, default_value = "info")]
    pub(super) log_level: LogLevel,
    /// json or console.
    #[arg(long, value_name = "FORMAT", value_parser = format, default_value = "json")]
    pub(super) log_format: LogFormat,
    /// stderr, stdout and files, separated by commas; default is stderr, and so is systemd/journal.
    #[arg(long, value_name = "OUTPUTS", value_parser = outputs, default_value = "default")]
    pub(super) log_outputs: Outputs,
    /// Begin a new file when the log's file has grown, as --log-rotation-config-json says.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    enable_log_rotation: bool,
    /// maxsize in MiB, and how many old files are kept (maxbackups) for how many days (maxage); 0 keeps all.
    #[arg(long, value_name = "JSON", value_parser = rotation, default_value = ROTATION)]
    log_rotation_config_json: LogRotation,
    /// Write who did what to which keys, without values, as JSON: to stderr, stdout or a file [default: nowhere].
    #[arg(long, value_name = "OUTPUT", value_parser = output)]
    pub(super) audit_log: Option<LogOutput>,
    /// A command that takes longer to apply is told in the log.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "100ms")]
    pub(super) warning_apply_duration: Duration,
    /// A unary request that takes longer to answer is told in the log.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "300ms")]
    pub(super) warning_unary_request_duration: Duration,
}

/// Several outputs in one value.
#[derive(Debug, Clone)]
pub(super) struct Outputs(pub(super) Vec<LogOutput>);

impl LogFlags {
    /// When a new file begins, if that was asked for.
    pub(super) fn rotation(&self) -> Option<LogRotation> {
        self.enable_log_rotation.then(|| self.log_rotation_config_json.clone())
    }
}

fn level(text: &str) -> Result<LogLevel, &'static str> {
    match text {
        "debug" | "DEBUG" => Ok(LogLevel::Debug),
        "info" | "INFO" | "" => Ok(LogLevel::Info),
        "warn" | "WARN" => Ok(LogLevel::Warn),
        // etcd's levels above error end the process with the line; here such lines are errors.
        "error" | "ERROR" | "dpanic" | "DPANIC" | "panic" | "PANIC" | "fatal" | "FATAL" => Ok(LogLevel::Error),
        _ => Err("the level is debug, info, warn, error, panic or fatal"),
    }
}

fn format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "json" | "" => Ok(LogFormat::Json),
        "console" => Ok(LogFormat::Console),
        _ => Err("the format is json or console"),
    }
}

fn outputs(text: &str) -> Result<Outputs, &'static str> {
    let words: Vec<_> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.len() > 1 && words.contains(&"default") {
        return Err("default stands alone; write stderr beside other outputs");
    }
    let mut outputs = Vec::new();
    for word in words {
        let output = output(word)?;
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    if outputs.is_empty() {
        outputs.push(LogOutput::Stderr);
    }
    Ok(Outputs(outputs))
}

fn output(word: &str) -> Result<LogOutput, &'static str> {
    Ok(match word {
        "" => return Err("the output is stderr, stdout or a file"),
        // systemd takes what a service writes there to its journal.
        "default" | "stderr" | "systemd/journal" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        file => LogOutput::File(file.into()),
    })
}

fn rotation(text: &str) -> Result<LogRotation, String> {
    LogRotation::from_json(text)
}
