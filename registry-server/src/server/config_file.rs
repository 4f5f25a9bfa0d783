//! `--config-file`: etcd's YAML file, made into the words of a command line.
//!
//! The keys are those of etcd's file, which are its flags' names, but for TLS, which has sections of its own; flags that only
//! this server has are keys as well. `flags` then reads the words as if they had been typed, so that a value means the same
//! in both places. Where etcd ignores a key that it does not know, this is an error: a misspelt key is a setting that is
//! silently not there.

use std::path::{Path, PathBuf};

use super::yaml::{self, Entry, Value, YamlError};
use crate::storage::{OpenMode, StdVfs, Vfs, VfsFile};

/// No file of settings is larger; whatever is was named by mistake.
const MAX_BYTES: u64 = 1 << 20;
/// The sections of TLS, and what their flags begin with.
const CLIENTS: &str = "client-transport-security";
const PEERS: &str = "peer-transport-security";
/// Flags that stand in those sections, as they are called there.
const TLS_KEYS: [&str; 8] = [
    "cert-file",
    "key-file",
    "client-cert-file",
    "client-key-file",
    "client-cert-auth",
    "trusted-ca-file",
    "auto-tls",
    "crl-file",
];
/// Sections whose keys are flags with something in front.
const PREFIXED: [(&str, &str); 2] = [("socket-options", "socket-"), ("discovery-config", "discovery-")];
/// Keys of etcd's sample that etcd itself does not read any more.
const FORMER: [&str; 3] = ["discovery", "discovery-proxy", "discovery-fallback"];
/// Durations, which etcd's file has as whole nanoseconds.
const DURATIONS: [&str; 9] = [
    "grpc-keepalive-min-time",
    "grpc-keepalive-interval",
    "grpc-keepalive-timeout",
    "corrupt-check-time",
    "compact-hash-check-time",
    "watch-progress-notify-interval",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "downgrade-check-time",
];
/// Keys whose values are lists.
const LISTS: [&str; 4] = ["log-outputs", "cipher-suites", "allowed-cn", "allowed-hostname"];

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// As they would stand on the command line.
    pub(super) words: Vec<String>,
    /// Lines for the log.
    pub(super) warnings: Vec<String>,
}

/// A file that cannot be used; each text names it, the line, and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It is not there, or may not be read.
    #[error("--config-file: cannot read {}: {source}; check the path and that this user may read it", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("--config-file: {} has more than {MAX_BYTES} bytes, so it is no file of settings", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// It is no YAML, or none of the plain kind.
    #[error("{}: {source}", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        source: YamlError,
    },
    /// Something that nobody knows.
    #[error("{}, line {line}: {key:?} is no setting{hint}", file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// Where in it.
        line: usize,
        /// As it was written, with its section.
        key: String,
        /// The mend.
        hint: String,
    },
    /// A value of another kind.
    #[error("{}, line {line}: {key:?} takes {wanted}", file.display())]
    WrongKind {
        /// The file.
        file: PathBuf,
        /// Where in it.
        line: usize,
        /// The setting.
        key: String,
        /// What it takes.
        wanted: &'static str,
    },
}

/// Reads a file. `is_flag` says which flags there are. Blocks.
///
/// # Errors
/// The file cannot be used.
pub(super) fn load(file: &Path, is_flag: impl Fn(&str) -> bool) -> Result<Loaded, ConfigFileError> {
    let text = read(file)?;
    let entries = yaml::read(&text).map_err(|source| ConfigFileError::Yaml { file: file.to_owned(), source })?;
    let mut loaded = Loaded::default();
    for entry in &entries {
        convert(file, entry, &is_flag, &mut loaded)?;
    }
    Ok(loaded)
}

fn read(file: &Path) -> Result<String, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Unreadable { file: file.to_owned(), source };
    let open = StdVfs.open(file, OpenMode::Read).map_err(unreadable)?;
    let length = open.len().map_err(unreadable)?;
    if length > MAX_BYTES {
        return Err(ConfigFileError::TooLarge { file: file.to_owned() });
    }
    let mut bytes = vec![0; length as usize];
    open.read_exact_at(&mut bytes, 0).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

/// Makes one setting into a word.
fn convert(
    file: &Path,
    entry: &Entry,
    is_flag: &impl Fn(&str) -> bool,
    loaded: &mut Loaded,
) -> Result<(), ConfigFileError> {
    let unknown = |hint: &str| ConfigFileError::UnknownKey {
        file: file.to_owned(),
        line: entry.line,
        key: entry.path(),
        hint: hint.to_owned(),
    };
    let key = entry.key.as_str();
    if entry.section.is_none() && FORMER.contains(&key) {
        if entry.value != Value::Null {
            loaded.warnings.push(format!("{}, line {}: {key} has no effect, as in etcd", file.display(), entry.line));
        }
        return Ok(());
    }
    let flag = match entry.section.as_deref() {
        None if is_of_tls(key) => return Err(unknown(&format!("; it belongs into {CLIENTS} or {PEERS}"))),
        None => key.to_owned(),
        Some(section) => in_section(section, key).ok_or_else(|| unknown(" of that section"))?,
    };
    if !is_flag(&flag) {
        return Err(unknown("; see --help for what there is"));
    }
    match &entry.value {
        // Nothing is said.
        Value::Null => {}
        Value::Many(values) if LISTS.contains(&key) => loaded.words.push(format!("--{flag}={}", values.join(","))),
        Value::Many(_) => {
            let (file, key) = (file.to_owned(), entry.path());
            let wanted = "one value: write several in one text, separated by commas";
            return Err(ConfigFileError::WrongKind { file, line: entry.line, key, wanted });
        }
        Value::One(text) => loaded.words.push(format!("--{flag}={}", as_flag_value(key, text))),
    }
    Ok(())
}

/// Whether a flag's name at the top level is one that belongs into a section, where etcd would not see it.
fn is_of_tls(key: &str) -> bool {
    let key = key.strip_prefix("peer-").unwrap_or(key);
    key != "crl-file" && TLS_KEYS.contains(&key)
}

/// The flag behind a key of a section; none if there is no such section or key.
fn in_section(section: &str, key: &str) -> Option<String> {
    if let Some((_, prefix)) = PREFIXED.iter().find(|(name, _)| *name == section) {
        return Some(format!("{prefix}{key}"));
    }
    let presented = ["allowed-cn", "allowed-hostname"].contains(&key);
    match section {
        CLIENTS if presented => Some(format!("client-cert-{key}")),
        CLIENTS if ["crl-file", "skip-client-san-verification"].contains(&key) => Some(format!("client-{key}")),
        CLIENTS if TLS_KEYS.contains(&key) => Some(key.to_owned()),
        PEERS if presented => Some(format!("peer-cert-{key}")),
        PEERS if TLS_KEYS.contains(&key) || key == "skip-client-san-verification" => Some(format!("peer-{key}")),
        _ => None,
    }
}

/// As the command line has it: durations with their unit, and YAML's other words for true and false.
fn as_flag_value(key: &str, text: &str) -> String {
    if DURATIONS.contains(&key) && text.parse::<u64>().is_ok() {
        return format!("{text}ns");
    }
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => "true".to_owned(),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => "false".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
