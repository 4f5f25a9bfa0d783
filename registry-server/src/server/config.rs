//! What a node is told when it starts: a plain struct with etcd's defaults, and the check of it.
//!
//! `flags` fills it from a command line; programs that embed a node fill it themselves. What `validate`
//! lets through, the rest of the server can rely on.

use std::path::PathBuf;
use std::time::Duration;

use super::auth_settings::{AuthSettings, AuthSettingsError};
use super::log_rotation::LogRotation;
use super::retention::{CompactionMode, Policy, Retention};
use super::tls_config;
use super::urls::MemberUrl;
use crate::http::HttpSettings;
use crate::tls::{Settings, SettingsError};
use crate::traces::{TraceSettings, TraceSettingsError};
use crate::watch::Limits;

/// The largest request that can be allowed: its entry takes an eighth of a segment, which is at most 1 GiB.
const MAX_REQUEST_BYTES: usize = 100 * 1024 * 1024;
/// Room for a store when nothing else is said: 2 GiB, as in etcd.
pub const DEFAULT_QUOTA_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// What a message may be larger than the request in it: keys, leases and framing around the values.
pub const REQUEST_OVERHEAD_BYTES: usize = 512 * 1024;
/// The longest life of a certificate that is made here, in years.
pub(super) const MAX_VALIDITY_YEARS: u32 = 1_000;
/// Above this a vacant leader seat stays vacant for too long to be called available.
const MAX_ELECTION_TIMEOUT: Duration = Duration::from_secs(50);

/// The settings of a node.
///
/// ```
/// use registry_server::server::Config;
///
/// let config = Config {
///     data_dir: "/tmp/registry".into(),
///     listen_client_urls: vec!["http://127.0.0.1:0".parse()?],
///     ..Config::default()
/// };
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The member's name, shown in member lists. Default: `default`.
    pub name: String,
    /// Where everything is kept. Default: `default.etcd`; on the command line `<name>.etcd`.
    pub data_dir: PathBuf,
    /// Where the log is kept, when it has a disk of its own. Default: inside `data_dir`.
    pub wal_dir: Option<PathBuf>,
    /// Where clients are served. Port 0 lets the system choose. Default: `http://localhost:2379`.
    pub listen_client_urls: Vec<MemberUrl>,
    /// Where `/metrics` and the health checks are served in addition, without gRPC. Default: nowhere.
    pub listen_metrics_urls: Vec<MemberUrl>,
    /// What clients are told to connect to; empty for "where clients are served", with the ports that were
    /// really bound. Default: empty.
    pub advertise_client_urls: Vec<MemberUrl>,
    /// Where peers are served. A node that is alone goes on without it if the port is taken. Default: `http://localhost:2380`.
    pub listen_peer_urls: Vec<MemberUrl>,
    /// What peers are told to connect to. Default: `http://localhost:2380`.
    pub initial_advertise_peer_urls: Vec<MemberUrl>,
    /// TLS for clients, where the URLs that they come by are https or unixs. Default: none.
    pub client_tls: Settings,
    /// TLS between members, where their URLs are https. Default: none.
    pub peer_tls: Settings,
    /// How long certificates are valid that are made here, in years. Default: 1.
    pub self_signed_cert_validity: u32,
    /// Plain HTTP on the client port: the API in JSON, and what browsers may. Default: all of it.
    pub http: HttpSettings,
    /// The members a new cluster starts with; empty for this one alone. Default: empty.
    pub initial_cluster: Vec<InitialMember>,
    /// Whether the first start makes a cluster or joins one. Default: new.
    pub initial_cluster_state: ClusterState,
    /// Goes into the cluster's id, so that two clusters with the same members stay apart. Default:
    /// `etcd-cluster`.
    pub initial_cluster_token: String,
    /// Whether this member, of a cluster that has lost its majority for good, is made the only one before it starts on its
    /// data. Default: off.
    pub force_new_cluster: bool,
    /// How clients log in. Default: with simple tokens.
    pub auth: AuthSettings,
    /// How large the store may grow before writes are refused, in bytes; none switches the quota off.
    /// Default: 2 GiB.
    pub quota_bytes: Option<u64>,
    /// What `auto_compaction_retention` counts. Default: time.
    pub auto_compaction_mode: CompactionMode,
    /// How much history automatic compaction keeps. Default: 0, which switches it off.
    pub auto_compaction_retention: Retention,
    /// How many learners the cluster may have while this member leads it. Default: 1.
    pub max_learners: u32,
    /// How many operations a transaction may have on one level. Default: 128.
    pub max_txn_ops: usize,
    /// How large a request may be, in bytes. Default: 1.5 MiB.
    pub max_request_bytes: usize,
    /// How many bytes large answers may hold, all of them together, until their clients have read them. Default: 2 GiB.
    pub max_answers_bytes: u64,
    /// How long a client may read nothing of a large answer, and how far it may lag behind 64 KiB a second, before the answer is
    /// given up; no flag sets it. Default: 30 s.
    pub answer_patience: Duration,
    /// How many requests and streams one connection may have open; more wait at the client. etcd has no
    /// bound here, and a client that opens a million streams takes it down. Default: 8,192.
    pub max_concurrent_streams: u32,
    /// How many client connections are served at once; more wait in the system's accept queue. Default:
    /// 10,000.
    pub max_connections: usize,
    /// How many threads serve clients; none for one a core. Default: none.
    pub worker_threads: Option<usize>,
    /// How long a stop waits for requests under way. Default: 5 s.
    pub shutdown_grace: Duration,
    /// How often a leader makes itself heard. Default: 100 ms.
    pub heartbeat_interval: Duration,
    /// How long a leader may be silent, from five heartbeats up to 50 s. Default: 1 s.
    pub election_timeout: Duration,
    /// How many bytes the log grows before a snapshot is taken. Behind a large snapshot the next waits for a quarter of its
    /// bytes, if that is more. Default: 64 MiB.
    pub snapshot_log_bytes: u64,
    /// How large one file of the log is; the next one is always made ahead. Raised to what the largest request
    /// needs. Default: 64 MiB.
    pub wal_segment_bytes: u64,
    /// Acknowledge writes that are not on disk yet. A power loss then loses them. Default: off.
    pub unsafe_no_fsync: bool,
    /// How often the leader compares what all members hold; zero never does. Default: 1 h.
    pub corrupt_check_time: Duration,
    /// How often an idle watcher is told how far it is. Default: 10 min.
    pub watch_progress_notify_interval: Duration,
    /// The bounds of a watch stream; no flag sets them. Default: those of [`Limits`], with fragments as large as messages.
    pub watch_limits: Option<Limits>,
    /// A command that takes longer to apply is told in the log. Default: 100 ms.
    pub warning_apply_duration: Duration,
    /// A unary request that takes longer to answer is told in the log. Default: 300 ms.
    pub warning_unary_request_duration: Duration,
    /// What is logged. Default: info.
    pub log_level: LogLevel,
    /// Where it is written who did what to which keys. Default: nowhere.
    pub audit_log: Option<LogOutput>,
    /// How log lines look. Default: JSON.
    pub log_format: LogFormat,
    /// Where log lines go, all of them everywhere. Default: standard error.
    pub log_outputs: Vec<LogOutput>,
    /// When a log's file is renamed and a new one begun. Default: never.
    pub log_rotation: Option<LogRotation>,
    /// Where traces of calls are sent, and of how many. Default: nowhere.
    pub traces: Option<TraceSettings>,
    /// How often a client may ask whether this server is alive; one that does so more often is sent away. Zero never does
    /// that. Default: 5 s.
    pub grpc_keepalive_min_time: Duration,
    /// How often a silent connection is asked whether it is alive; zero never asks. Default: 2 h.
    pub grpc_keepalive_interval: Duration,
    /// How long such a question may stay unanswered before the connection is closed. Default: 20 s.
    pub grpc_keepalive_timeout: Duration,
}

/// A member of a cluster that is about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMember {
    /// Its name.
    pub name: String,
    /// Where its peers reach it; a member with several URLs stands several times.
    pub peer_url: MemberUrl,
}

/// Whether the first start makes a cluster or joins one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// Make a new cluster.
    New,
    /// Join a running one.
    Existing,
}

/// The least severe line that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need attention.
    Warn,
    /// What is broken.
    Error,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Console,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Settings that cannot work; each text names the flag and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say what each means")]
pub enum ConfigError {
    /// A request has to fit into one entry of the log.
    #[error("--max-request-bytes {asked} is more than the log takes: give at most {most}")]
    RequestTooLarge {
        /// What was given, in bytes.
        asked: usize,
        /// What is possible, in bytes.
        most: usize,
    },
    #[error("--name must not be empty")]
    EmptyName,
    #[error("--{flag} must not be empty")]
    NoUrl { flag: &'static str },
    #[error(
        "--{flag} {url}: TLS needs a certificate; give --{prefix}cert-file and --{prefix}key-file, or --{prefix}auto-tls"
    )]
    NoCertificate { flag: &'static str, url: MemberUrl, prefix: &'static str },
    #[error(transparent)]
    Tls(#[from] SettingsError),
    #[error(transparent)]
    Auth(#[from] AuthSettingsError),
    #[error(transparent)]
    Traces(#[from] TraceSettingsError),
    #[error("--{flag} {url}: members talk over TCP; give an http or https URL")]
    PeerSocket { flag: &'static str, url: MemberUrl },
    #[error("--self-signed-cert-validity {years} is out of bounds: give from 1 to {MAX_VALIDITY_YEARS} years")]
    Validity { years: u32 },
    #[error("--{flag} {url}: a name cannot be listened on; give an IP address or localhost")]
    ListenOnName { flag: &'static str, url: MemberUrl },
    #[error("--{flag} {url}: nobody can connect to port 0; give the port that others can reach")]
    AdvertiseNowhere { flag: &'static str, url: MemberUrl },
    #[error("--advertise-client-urls is required when --listen-client-urls is set to {url}")]
    AdvertiseMissing { url: MemberUrl },
    #[error("--initial-cluster gives {url} to {one} and to {other}: every member needs peer URLs of its own")]
    SharedPeerUrl { url: MemberUrl, one: String, other: String },
    #[error("--initial-cluster-state existing: give the members of the running cluster in --initial-cluster")]
    Joining,
    #[error("couldn't find local name \"{name}\" in the initial cluster configuration")]
    NotInInitialCluster { name: String },
    #[error("--initial-cluster has {name}={url} but it is missing from --initial-advertise-peer-urls")]
    PeerUrlsDiffer { name: String, url: MemberUrl },
    #[error("--initial-advertise-peer-urls has {url} but --initial-cluster does not list it for {name}")]
    PeerUrlMissing { name: String, url: MemberUrl },
    #[error("--auto-compaction-retention {time:?}: --auto-compaction-mode revision counts revisions; give a number")]
    RetentionIsTime { time: Duration },
    #[error("--enable-log-rotation needs exactly one file in --log-outputs: give one")]
    RotatesNothing,
    #[error("--{flag} must be at least 1")]
    Zero { flag: &'static str },
    #[error("--election-timeout[{election:?}] should be at least 5 times --heartbeat-interval[{heartbeat:?}]")]
    ElectionTooShort { election: Duration, heartbeat: Duration },
    #[error("--election-timeout[{election:?}] is too long; at most {MAX_ELECTION_TIMEOUT:?}")]
    ElectionTooLong { election: Duration },
}

impl Default for Config {
    fn default() -> Self {
        let localhost = |port: u16| vec![MemberUrl::http(([127, 0, 0, 1], port).into()).on_localhost()];
        Self {
            name: "default".to_owned(),
            data_dir: "default.etcd".into(),
            wal_dir: None,
            listen_client_urls: localhost(2379),
            listen_metrics_urls: Vec::new(),
            advertise_client_urls: Vec::new(),
            listen_peer_urls: localhost(2380),
            initial_advertise_peer_urls: localhost(2380),
            client_tls: Settings::default(),
            peer_tls: Settings::default(),
            http: HttpSettings::default(),
            self_signed_cert_validity: 1,
            initial_cluster: Vec::new(),
            initial_cluster_state: ClusterState::New,
            initial_cluster_token: "etcd-cluster".to_owned(),
            force_new_cluster: false,
            auth: AuthSettings::default(),
            quota_bytes: Some(DEFAULT_QUOTA_BYTES),
            auto_compaction_mode: CompactionMode::Periodic,
            auto_compaction_retention: Retention::Count(0),
            max_learners: 1,
            max_txn_ops: 128,
            max_request_bytes: 1536 * 1024,
            max_answers_bytes: DEFAULT_QUOTA_BYTES,
            answer_patience: Duration::from_secs(30),
            max_concurrent_streams: 8192,
            max_connections: 10_000,
            worker_threads: None,
            shutdown_grace: Duration::from_secs(5),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            snapshot_log_bytes: 64 * 1024 * 1024,
            wal_segment_bytes: 64 * 1024 * 1024,
            unsafe_no_fsync: false,
            corrupt_check_time: Duration::from_secs(60 * 60),
            watch_progress_notify_interval: Duration::from_secs(600),
            watch_limits: None,
            warning_apply_duration: Duration::from_millis(100),
            warning_unary_request_duration: Duration::from_millis(300),
            log_level: LogLevel::Info,
            audit_log: None,
            log_format: LogFormat::Json,
            log_outputs: vec![LogOutput::Stderr],
            log_rotation: None,
            traces: None,
            grpc_keepalive_min_time: Duration::from_secs(5),
            grpc_keepalive_interval: Duration::from_secs(2 * 60 * 60),
            grpc_keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl Config {
    /// Checks that the settings can work together.
    ///
    /// # Errors
    /// The first setting that cannot, with its flag and the mend.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::EmptyName);
        }
        check_listen_urls("listen-client-urls", &self.listen_client_urls)?;
        check_listen_urls("listen-peer-urls", &self.listen_peer_urls)?;
        if !self.listen_metrics_urls.is_empty() {
            check_listen_urls("listen-metrics-urls", &self.listen_metrics_urls)?;
        }
        tls_config::check(self)?;
        self.check_advertised_urls()?;
        self.check_initial_cluster()?;
        self.auth.validate()?;
        self.check_limits()?;
        let files = self.log_outputs.iter().filter(|output| matches!(output, LogOutput::File(_))).count();
        if self.log_rotation.is_some() && files != 1 {
            return Err(ConfigError::RotatesNothing);
        }
        self.traces.as_ref().map_or(Ok(()), TraceSettings::validate)?;
        self.check_timing()
    }

    /// What clients are told to connect to, given `listen_client_urls` with the ports that were really bound.
    #[must_use]
    pub fn advertised_client_urls(&self, bound: &[MemberUrl]) -> Vec<MemberUrl> {
        if self.advertise_client_urls.is_empty() { bound.to_vec() } else { self.advertise_client_urls.clone() }
    }

    /// What automatic compaction does; none if it is off.
    #[must_use]
    pub fn auto_compaction(&self) -> Option<Policy> {
        Policy::new(self.auto_compaction_mode, self.auto_compaction_retention)
    }

    /// What works and is probably not meant: lines for the log.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let advertised = self.advertise_client_urls.iter().chain(&self.initial_advertise_peer_urls);
        let doubt = |url: &MemberUrl| format!("{url} is advertised, but others cannot connect to that address");
        let mut doubts: Vec<_> = advertised.filter(|url| url.is_unspecified()).map(doubt).collect();
        doubts.extend(tls_config::doubts(self));
        doubts
    }

    /// How long a request may take before it is answered with a timeout: 5 s and two elections, as in etcd.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// How large a segment of the log is: an entry may take an eighth of one, and the largest request must
    /// fit into an entry.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.wal_segment_bytes.max((self.max_message_bytes() as u64).saturating_mul(8))
    }

    /// The largest message that is read from the wire, in bytes.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.max_request_bytes.saturating_add(REQUEST_OVERHEAD_BYTES)
    }

    /// The largest message that is read from a peer: some entries, each of which may hold a request of any size.
    #[must_use]
    pub fn max_peer_message_bytes(&self) -> usize {
        self.max_message_bytes().saturating_mul(2).saturating_add(8 << 20)
    }

    /// Whether the flags name other members.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.initial_cluster.iter().any(|member| member.name != self.name)
    }

    fn check_advertised_urls(&self) -> Result<(), ConfigError> {
        check_advertise_urls("initial-advertise-peer-urls", &self.initial_advertise_peer_urls)?;
        if self.initial_advertise_peer_urls.is_empty() {
            return Err(ConfigError::NoUrl { flag: "initial-advertise-peer-urls" });
        }
        check_advertise_urls("advertise-client-urls", &self.advertise_client_urls)?;
        match self.listen_client_urls.iter().find(|url| url.is_unspecified()) {
            Some(url) if self.advertise_client_urls.is_empty() => {
                Err(ConfigError::AdvertiseMissing { url: url.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_initial_cluster(&self) -> Result<(), ConfigError> {
        if self.initial_cluster_state == ClusterState::Existing && !self.has_others() {
            return Err(ConfigError::Joining);
        }
        if self.initial_cluster.is_empty() {
            return Ok(());
        }
        if self.initial_cluster.iter().all(|member| member.name != self.name) {
            return Err(ConfigError::NotInInitialCluster { name: self.name.clone() });
        }
        for (at, member) in self.initial_cluster.iter().enumerate() {
            let before = self.initial_cluster[..at].iter().find(|before| before.peer_url == member.peer_url);
            if let Some(before) = before {
                let (one, other) = (before.name.clone(), member.name.clone());
                return Err(ConfigError::SharedPeerUrl { url: member.peer_url.clone(), one, other });
            }
        }
        let own = || self.initial_cluster.iter().filter(|member| member.name == self.name);
        if let Some(m) = own().find(|m| !self.initial_advertise_peer_urls.contains(&m.peer_url)) {
            return Err(ConfigError::PeerUrlsDiffer { name: m.name.clone(), url: m.peer_url.clone() });
        }
        let listed = |url: &MemberUrl| own().any(|member| member.peer_url == *url);
        match self.initial_advertise_peer_urls.iter().find(|url| !listed(url)) {
            Some(url) => Err(ConfigError::PeerUrlMissing { name: self.name.clone(), url: url.clone() }),
            None => Ok(()),
        }
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let limits = [
            ("max-txn-ops", self.max_txn_ops == 0),
            ("max-request-bytes", self.max_request_bytes == 0),
            ("max-answers-bytes", self.max_answers_bytes == 0),
            ("max-concurrent-streams", self.max_concurrent_streams == 0),
            ("max-connections", self.max_connections == 0),
            ("worker-threads", self.worker_threads == Some(0)),
            ("snapshot-log-bytes", self.snapshot_log_bytes == 0),
            ("watch-progress-notify-interval", self.watch_progress_notify_interval.is_zero()),
        ];
        if let Some((flag, _)) = limits.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::Zero { flag });
        }
        if let (CompactionMode::Revision, Retention::Time(time)) =
            (self.auto_compaction_mode, self.auto_compaction_retention)
            && !time.is_zero()
        {
            return Err(ConfigError::RetentionIsTime { time });
        }
        if self.max_request_bytes > MAX_REQUEST_BYTES {
            return Err(ConfigError::RequestTooLarge { asked: self.max_request_bytes, most: MAX_REQUEST_BYTES });
        }
        Ok(())
    }

    fn check_timing(&self) -> Result<(), ConfigError> {
        let (heartbeat, election) = (self.heartbeat_interval, self.election_timeout);
        if heartbeat.is_zero() {
            return Err(ConfigError::Zero { flag: "heartbeat-interval" });
        }
        // The upper bound first: it keeps the product below from overflowing.
        if election > MAX_ELECTION_TIMEOUT {
            return Err(ConfigError::ElectionTooLong { election });
        }
        if heartbeat > election / 5 {
            return Err(ConfigError::ElectionTooShort { election, heartbeat });
        }
        Ok(())
    }
}

fn check_listen_urls(flag: &'static str, urls: &[MemberUrl]) -> Result<(), ConfigError> {
    if urls.is_empty() {
        return Err(ConfigError::NoUrl { flag });
    }
    for url in urls {
        if url.socket().is_none() && url.bind_address().is_none() {
            return Err(ConfigError::ListenOnName { flag, url: url.clone() });
        }
    }
    Ok(())
}

fn check_advertise_urls(flag: &'static str, urls: &[MemberUrl]) -> Result<(), ConfigError> {
    for url in urls {
        if url.port() == Some(0) {
            return Err(ConfigError::AdvertiseNowhere { flag, url: url.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Vec<MemberUrl> {
        text.split(',').map(|url| url.parse().unwrap()).collect()
    }

    fn member(name: &str, url: &str) -> InitialMember {
        InitialMember { name: name.to_owned(), peer_url: url.parse().unwrap() }
    }

    #[test]
    fn the_defaults_are_valid_and_etcds() {
        let config = Config::default();
        config.validate().unwrap();
        assert_eq!(config.listen_client_urls, urls("http://localhost:2379"));
        assert_eq!(config.max_message_bytes(), 2 * 1024 * 1024);
        assert_eq!(config.request_timeout(), Duration::from_secs(7));
    }

    #[test]
    fn a_request_that_the_log_could_not_take_is_refused_at_the_start() {
        let config = Config { max_request_bytes: 200 * 1024 * 1024, ..Config::default() };
        let line = config.validate().unwrap_err().to_string();
        assert!(line.contains("--max-request-bytes 209715200") && line.contains("at most"), "{line}");
    }

    #[test]
    fn an_embedded_node_advertises_the_port_it_was_given() {
        let config = Config { listen_client_urls: urls("http://localhost:0"), ..Config::default() };
        config.validate().unwrap();
        let bound = urls("http://localhost:4711");
        assert_eq!(config.advertised_client_urls(&bound), bound);
    }

    #[test]
    fn listening_everywhere_needs_an_address_to_advertise() {
        let mut config = Config { listen_client_urls: urls("http://0.0.0.0:2379"), ..Config::default() };
        assert!(matches!(config.validate(), Err(ConfigError::AdvertiseMissing { .. })));
        config.advertise_client_urls = urls("http://10.0.0.1:2379");
        config.validate().unwrap();
    }

    #[test]
    fn advertising_everywhere_is_doubted_and_advertising_no_port_is_refused() {
        let advertise = |text| Config { advertise_client_urls: urls(text), ..Config::default() };
        let everywhere = advertise("http://0.0.0.0:2379");
        everywhere.validate().unwrap();
        assert_eq!(everywhere.doubts().len(), 1);
        assert!(matches!(advertise("http://a:0").validate(), Err(ConfigError::AdvertiseNowhere { .. })));
    }

    #[test]
    fn members_must_not_share_a_peer_url() {
        let with = |members| Config { initial_cluster: members, ..Config::default() }.validate();
        with(vec![member("default", "http://localhost:2380"), member("b", "http://b:2380")]).unwrap();
        let shared = with(vec![member("default", "http://localhost:2380"), member("b", "http://localhost:2380")]);
        assert!(matches!(shared, Err(ConfigError::SharedPeerUrl { .. })));
    }

    #[test]
    fn the_initial_cluster_must_hold_this_member_at_its_peer_urls() {
        let with = |members| Config { initial_cluster: members, ..Config::default() }.validate();
        with(vec![member("default", "http://localhost:2380")]).unwrap();
        let stranger = with(vec![member("b", "http://localhost:2380")]);
        assert!(matches!(stranger, Err(ConfigError::NotInInitialCluster { .. })));
        let elsewhere = with(vec![member("default", "http://localhost:2390")]);
        assert!(matches!(elsewhere, Err(ConfigError::PeerUrlsDiffer { .. })));
    }

    #[test]
    fn an_election_takes_five_heartbeats_and_at_most_fifty_seconds() {
        let timing = |heartbeat_ms, election_ms| {
            Config {
                heartbeat_interval: Duration::from_millis(heartbeat_ms),
                election_timeout: Duration::from_millis(election_ms),
                ..Config::default()
            }
            .validate()
        };
        timing(200, 1000).unwrap();
        timing(100, 50_000).unwrap();
        assert!(matches!(timing(201, 1000), Err(ConfigError::ElectionTooShort { .. })));
        assert!(matches!(timing(100, 50_001), Err(ConfigError::ElectionTooLong { .. })));
        assert!(matches!(timing(0, 1000), Err(ConfigError::Zero { .. })));
    }
}
