//! The command line and the environment, as etcd reads them, made into a [`Config`].
//!
//! The words pass three gates: flags of etcd's that `Config` lacks are judged by `foreign_flags` and taken
//! out; environment variables stand in for flags that were not given; clap reads the rest. The result is
//! validated. Where `--config-file` is given, the words are those of the file, and nothing else counts, as to etcd. Nothing
//! is printed here: the caller logs the warnings once its log stands.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use super::auth_flags::AuthFlags;
use super::compaction_flags::CompactionFlags;
use super::config::{ClusterState, Config, ConfigError, InitialMember};
use super::config_file::ConfigFileError;
use super::http_flags::HttpFlags;
use super::log_flags::LogFlags;
use super::tls_flags::{ClientTlsFlags, PeerTlsFlags};
use super::trace_flags::TraceFlags;
use super::urls::MemberUrl;
use super::{config_file, foreign_flags, go_values};

const ENVIRONMENT_PREFIX: &str = "ETCD_";
const EXPERIMENTAL: &str = "experimental-";
const CONFIG_FILE: &str = "--config-file";
const CONFIG_FILE_VARIABLE: &str = "ETCD_CONFIG_FILE";

/// What the command line said.
#[derive(Debug)]
pub struct Parsed {
    /// The settings, validated.
    pub config: Config,
    /// Lines for the log: flags that were accepted and have no effect, and what is probably not meant.
    pub warnings: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum FlagsError {
    /// A wrong flag or value, or an answer to `--help` and `--version`: [`clap::Error::exit`] knows how to
    /// show each.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A flag promises what this server does not do yet.
    #[error("{0}")]
    Refused(String),
    /// The file of settings cannot be used.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// What it says cannot.
    #[error("{}: {line}", file.display())]
    InFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        line: String,
    },
    /// The settings do not work together.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the words after the program's name, and the environment.
///
/// ```
/// let words = ["--name", "a", "--data-dir=/tmp/a"].map(String::from);
/// let parsed = registry_server::server::flags::parse(words, [])?;
/// assert_eq!(parsed.config.name, "a");
/// # Ok::<(), registry_server::server::flags::FlagsError>(())
/// ```
///
/// # Errors
/// For a wrong flag or value, a flag that cannot be kept, and settings that do not work together.
pub fn parse(
    words: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Parsed, FlagsError> {
    let command = Flags::command();
    let words: Vec<_> = words.into_iter().map(|word| with_two_dashes(word, &command)).collect();
    let environment: Vec<_> = environment.into_iter().collect();
    match file_in(&words, &environment) {
        None => read(words, environment, Vec::new()),
        Some(file) => read_file(&file, words.len(), &environment),
    }
}

/// A flag may have a single dash, as to all of Go's programs.
fn with_two_dashes(word: String, command: &clap::Command) -> String {
    let name = word.strip_prefix('-').and_then(|flag| flag.split('=').next()).filter(|name| name.len() > 1);
    let is_flag = |name| foreign_flags::find(name).is_some() || is_known(name, command);
    if name.is_some_and(is_flag) { format!("-{word}") } else { word }
}

/// The flags that there are.
#[cfg(test)]
pub(super) fn command() -> clap::Command {
    Flags::command()
}

fn read(
    words: Vec<String>,
    environment: Vec<(String, String)>,
    mut warnings: Vec<String>,
) -> Result<Parsed, FlagsError> {
    let command = Flags::command();
    let mut words = take_foreign(words, &command, &mut warnings)?;
    add_environment(&mut words, environment, &command, &mut warnings)?;
    let matches = command.try_get_matches_from(std::iter::once("registry-server".to_owned()).chain(words))?;
    let config = Flags::from_arg_matches(&matches)?.into_config();
    config.validate()?;
    warnings.extend(config.doubts());
    Ok(Parsed { config, warnings })
}

/// The file of `--config-file`, of the command line or else of the environment. Whoever asks for help gets that instead.
fn file_in(words: &[String], environment: &[(String, String)]) -> Option<PathBuf> {
    if words.iter().any(|word| ["--help", "-h", "--version", "-V"].contains(&word.as_str())) {
        return None;
    }
    let mut given = None;
    for (at, word) in words.iter().enumerate() {
        match word.strip_prefix(CONFIG_FILE) {
            Some("") => given = words.get(at + 1).map(String::as_str),
            Some(value) if value.starts_with('=') => given = Some(&value[1..]),
            _ => {}
        }
    }
    let variable =
        || environment.iter().find(|(name, _)| name == CONFIG_FILE_VARIABLE).map(|(_, value)| value.as_str());
    given.or_else(variable).filter(|file| !file.is_empty()).map(PathBuf::from)
}

/// Reads a file; so many words of the command line and what the environment says are ignored.
fn read_file(file: &Path, words: usize, environment: &[(String, String)]) -> Result<Parsed, FlagsError> {
    let command = Flags::command();
    let is_flag = |name: &str| {
        let is_other_file = CONFIG_FILE.strip_prefix("--") == Some(name);
        let is_known = || foreign_flags::find(name).is_some() || is_known(name, &command) || is_experimental(name);
        !is_other_file && is_known()
    };
    let config_file::Loaded { words: read_words, mut warnings } = config_file::load(file, is_flag)?;
    let is_setting = |(name, value): &&(String, String)| {
        name.starts_with(ENVIRONMENT_PREFIX) && name != CONFIG_FILE_VARIABLE && !value.is_empty()
    };
    // `--config-file=FILE` or `--config-file FILE`.
    if words > 2 || environment.iter().any(|variable| is_setting(&variable)) {
        let file = file.display();
        warnings.push(format!("--config-file {file} counts alone: other flags and ETCD_ variables are ignored"));
    }
    let in_file = |error: FlagsError| match error {
        FlagsError::Usage(usage) => {
            let text = usage.render().to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            FlagsError::InFile { file: file.to_owned(), line }
        }
        other => FlagsError::InFile { file: file.to_owned(), line: other.to_string() },
    };
    read(read_words, Vec::new(), warnings).map_err(in_file)
}

/// Takes out the flags that are judged by table, with their values, and gives those that were experimental once
/// the names they have now.
fn take_foreign(
    words: impl IntoIterator<Item = String>,
    command: &clap::Command,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, FlagsError> {
    let mut words = words.into_iter().peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            kept.push(word);
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        if let Some(foreign) = foreign_flags::find(name) {
            let value = match value {
                Some(value) => value,
                None if foreign.is_boolean => "true".to_owned(),
                None => words.next_if(|next| !next.starts_with("--")).unwrap_or_default(),
            };
            warnings.push(foreign.judge(&value).map_err(FlagsError::Refused)?);
        } else if let Some(graduated) = graduated(name, command) {
            kept.push(value.map_or_else(|| format!("--{graduated}"), |value| format!("--{graduated}={value}")));
        } else if is_experimental(name) {
            if value.is_none() {
                drop(words.next_if(|next| !next.starts_with('-')));
            }
            warnings.push(format!("--{name} is unknown here and has no effect"));
        } else {
            kept.push(word);
        }
    }
    Ok(kept)
}

/// Adds the flags that the environment names and the command line does not.
fn add_environment(
    words: &mut Vec<String>,
    environment: impl IntoIterator<Item = (String, String)>,
    command: &clap::Command,
    warnings: &mut Vec<String>,
) -> Result<(), FlagsError> {
    let given: HashSet<String> =
        words.iter().filter_map(|word| Some(word.strip_prefix("--")?.split('=').next()?.to_owned())).collect();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let name = name.to_lowercase().replace('_', "-");
        let name = graduated(&name, command).unwrap_or(&name).to_owned();
        if value.is_empty() || given.contains(&name) {
            continue;
        }
        if let Some(foreign) = foreign_flags::find(&name) {
            warnings.push(foreign.judge(&value).map_err(|line| FlagsError::Refused(format!("{variable}: {line}")))?);
        } else if is_known(&name, command) {
            words.push(format!("--{name}={value}"));
        } else {
            warnings.push(format!("the environment variable {variable} is unknown here and has no effect"));
        }
    }
    Ok(())
}

fn is_known(name: &str, command: &clap::Command) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some(name))
}

fn is_experimental(name: &str) -> bool {
    name.starts_with(EXPERIMENTAL)
}

/// The name that a flag has today which etcd called experimental in 3.5; none if this server has no such flag.
fn graduated<'a>(name: &'a str, command: &clap::Command) -> Option<&'a str> {
    name.strip_prefix(EXPERIMENTAL).filter(|name| is_known(name, command))
}

const EXAMPLES: &str = "\
Examples:
  # Serve on http://localhost:2379, with the data in ./default.etcd
  registry-server

  # Serve the network
  registry-server --name a --data-dir /var/lib/registry \\
    --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://10.0.0.1:2379

  # The same by environment
  ETCD_NAME=a ETCD_DATA_DIR=/var/lib/registry registry-server

Every flag can be given by the environment as ETCD_ and its name in upper case with underscores; the
command line wins. Flags are written --flag=value or --flag value, and mean what they mean to etcd.";

/// A registry that speaks the etcd v3 API.
#[derive(Debug, Parser)]
#[command(
    name = "registry-server",
    version = concat!(env!("CARGO_PKG_VERSION"), "\netcd Version: 3.7.1"),
    after_help = EXAMPLES,
    args_override_self = true,
)]
struct Flags {
    #[command(flatten)]
    member: MemberFlags,
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    client_tls: ClientTlsFlags,
    #[command(flatten)]
    peer_tls: PeerTlsFlags,
    #[command(flatten)]
    auth: AuthFlags,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    compaction: CompactionFlags,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    traces: TraceFlags,
}

/// Several URLs in one value, separated by commas.
#[derive(Debug, Clone)]
struct Urls(Vec<MemberUrl>);

/// `name=url` pairs in one value, separated by commas.
#[derive(Debug, Clone)]
struct Members(Vec<InitialMember>);

#[derive(Debug, Args)]
#[command(next_help_heading = "Member")]
struct MemberFlags {
    /// A file of settings in YAML, as etcd has it; all other flags and the environment are ignored then.
    #[arg(long, value_name = "FILE")]
    config_file: Option<String>,
    /// The member's name.
    #[arg(long, default_value = "default")]
    name: String,
    /// Where everything is kept [default: <name>.etcd].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the log is kept, when it has a disk of its own.
    #[arg(long, value_name = "DIR")]
    wal_dir: Option<PathBuf>,
    /// Where clients are served.
    #[arg(long, value_name = "URLS", value_parser = urls, default_value = "http://localhost:2379")]
    listen_client_urls: Urls,
    /// Where /metrics and the health checks are served in addition [default: nowhere].
    #[arg(long, value_name = "URLS", value_parser = optional_urls)]
    listen_metrics_urls: Option<Urls>,
    /// What clients are told to connect to [default: where clients are served].
    #[arg(long, value_name = "URLS", value_parser = urls)]
    advertise_client_urls: Option<Urls>,
    /// Where peers are served; a node that is alone goes on without it if the port is taken.
    #[arg(long, value_name = "URLS", value_parser = urls, default_value = "http://localhost:2380")]
    listen_peer_urls: Urls,
    /// How many threads serve clients [default: one a core].
    #[arg(long, value_name = "COUNT")]
    worker_threads: Option<usize>,
    /// Acknowledge writes before they are on disk. A power loss then loses them.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    unsafe_no_fsync: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterFlags {
    /// What peers are told to connect to.
    #[arg(long, value_name = "URLS", value_parser = urls, default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: Urls,
    /// The members a new cluster starts with, as name=url [default: this one].
    #[arg(long, value_name = "MEMBERS", value_parser = members)]
    initial_cluster: Option<Members>,
    /// Whether the first start makes a cluster (new) or joins one (existing).
    #[arg(long, value_name = "STATE", value_parser = cluster_state, default_value = "new")]
    initial_cluster_state: ClusterState,
    /// Goes into the cluster's id.
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// Make this member the only one of its cluster, whose majority is lost for good, and start on its data; the others
    /// are removed and must not be started again. For one start only.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    force_new_cluster: bool,
    /// How many learners the cluster may have while this member leads it.
    #[arg(long, value_name = "COUNT", default_value_t = Config::default().max_learners)]
    max_learners: u32,
    /// How often a leader makes itself heard, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    heartbeat_interval: u64,
    /// How long a leader may be silent, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    election_timeout: u64,
    /// How many bytes the log grows before a snapshot is taken; a quarter of the last snapshot's if that is more.
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().snapshot_log_bytes)]
    snapshot_log_bytes: u64,
    /// How often the leader compares what all members hold, and raises CORRUPT if that differs; 0 never does.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "1h")]
    corrupt_check_time: Duration,
    /// How large one file of the log is.
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().wal_segment_bytes)]
    wal_segment_bytes: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// How large the store may grow before writes are refused; 0 for 2 GiB, negative for no limit.
    #[arg(long, value_name = "BYTES", default_value_t = 0, allow_negative_numbers = true)]
    quota_backend_bytes: i64,
    /// How many operations a transaction may have.
    #[arg(long, value_name = "COUNT", default_value_t = 128)]
    max_txn_ops: usize,
    /// How large a request may be.
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().max_request_bytes)]
    max_request_bytes: usize,
    /// How many bytes large answers may hold together; who finds too little left is refused.
    #[arg(long, value_name = "BYTES", default_value_t = Config::default().max_answers_bytes)]
    max_answers_bytes: u64,
    /// How many requests and streams one connection may have open.
    #[arg(long, value_name = "COUNT", default_value_t = Config::default().max_concurrent_streams)]
    max_concurrent_streams: u32,
    /// How many client connections are served at once.
    #[arg(long, value_name = "COUNT", default_value_t = Config::default().max_connections)]
    max_connections: usize,
    /// How often a client may ask whether this server is alive; one that does so more often is sent away. 0 never does that.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "5s")]
    grpc_keepalive_min_time: Duration,
    /// How often a silent connection is asked whether it is alive; 0 never asks.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "2h")]
    grpc_keepalive_interval: Duration,
    /// How long that question may stay unanswered.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "20s")]
    grpc_keepalive_timeout: Duration,
    /// How often an idle watcher is told how far it is.
    #[arg(long, value_name = "DURATION", value_parser = go_values::duration, default_value = "10m")]
    watch_progress_notify_interval: Duration,
}

impl Flags {
    fn into_config(self) -> Config {
        let Self { member, cluster, client_tls, peer_tls, auth, http, limits, compaction, log, traces } = self;
        Config {
            data_dir: member.data_dir.unwrap_or_else(|| format!("{}.etcd", member.name).into()),
            name: member.name,
            wal_dir: member.wal_dir,
            listen_client_urls: member.listen_client_urls.0,
            listen_metrics_urls: member.listen_metrics_urls.map_or_else(Vec::new, |urls| urls.0),
            advertise_client_urls: member.advertise_client_urls.map_or_else(Vec::new, |urls| urls.0),
            listen_peer_urls: member.listen_peer_urls.0,
            worker_threads: member.worker_threads,
            unsafe_no_fsync: member.unsafe_no_fsync,
            initial_advertise_peer_urls: cluster.initial_advertise_peer_urls.0,
            self_signed_cert_validity: peer_tls.self_signed_cert_validity,
            peer_tls: peer_tls.into_settings(client_tls.algorithms()),
            client_tls: client_tls.into_settings(),
            http: http.into_settings(),
            initial_cluster: cluster.initial_cluster.map_or_else(Vec::new, |members| members.0),
            initial_cluster_state: cluster.initial_cluster_state,
            initial_cluster_token: cluster.initial_cluster_token,
            force_new_cluster: cluster.force_new_cluster,
            heartbeat_interval: Duration::from_millis(cluster.heartbeat_interval),
            election_timeout: Duration::from_millis(cluster.election_timeout),
            snapshot_log_bytes: cluster.snapshot_log_bytes,
            corrupt_check_time: cluster.corrupt_check_time,
            wal_segment_bytes: cluster.wal_segment_bytes,
            auth: auth.into_settings(),
            quota_bytes: quota(limits.quota_backend_bytes),
            auto_compaction_mode: compaction.auto_compaction_mode,
            auto_compaction_retention: compaction.auto_compaction_retention,
            max_learners: cluster.max_learners,
            max_txn_ops: limits.max_txn_ops,
            max_request_bytes: limits.max_request_bytes,
            max_answers_bytes: limits.max_answers_bytes,
            max_concurrent_streams: limits.max_concurrent_streams,
            max_connections: limits.max_connections,
            grpc_keepalive_min_time: limits.grpc_keepalive_min_time,
            grpc_keepalive_interval: limits.grpc_keepalive_interval,
            grpc_keepalive_timeout: limits.grpc_keepalive_timeout,
            watch_progress_notify_interval: limits.watch_progress_notify_interval,
            warning_apply_duration: log.warning_apply_duration,
            warning_unary_request_duration: log.warning_unary_request_duration,
            log_level: log.log_level,
            log_format: log.log_format,
            log_rotation: log.rotation(),
            audit_log: log.audit_log,
            log_outputs: log.log_outputs.0,
            traces: traces.into_settings(),
            ..Config::default()
        }
    }
}

fn quota(flag: i64) -> Option<u64> {
    match flag {
        0 => Config::default().quota_bytes,
        bytes => u64::try_from(bytes).ok(),
    }
}

fn urls(text: &str) -> Result<Urls, String> {
    let urls: Result<_, _> = text.split(',').map(str::parse).collect();
    urls.map(Urls).map_err(|error: super::urls::UrlError| error.to_string())
}

/// As [`urls`]; an empty value asks for none.
fn optional_urls(text: &str) -> Result<Urls, String> {
    if text.is_empty() { Ok(Urls(Vec::new())) } else { urls(text) }
}

fn members(text: &str) -> Result<Members, String> {
    let member = |pair: &str| {
        let (name, url) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not name=url"))?;
        let peer_url = url.parse().map_err(|error: super::urls::UrlError| error.to_string())?;
        Ok(InitialMember { name: name.trim().to_owned(), peer_url })
    };
    let members: Result<_, String> = text.split(',').filter(|pair| !pair.is_empty()).map(member).collect();
    members.map(Members)
}

fn cluster_state(text: &str) -> Result<ClusterState, &'static str> {
    match text {
        "new" => Ok(ClusterState::New),
        "existing" => Ok(ClusterState::Existing),
        _ => Err("the state is new or existing"),
    }
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
