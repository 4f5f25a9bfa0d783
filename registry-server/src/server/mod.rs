//! The node as a program: its settings, its command line, its log, and the front door through which
//! clients come.
//!
//! `flags` makes a [`Config`], `logging` follows it; `listen` binds, `workers` spreads connections over
//! threads, `connection` serves one of them over a `corked` socket, and `dispatch` hands each request to
//! the service it names; `calls` counts them. Every queue between them has a bound, and a stop waits for all
//! of them.

mod auth_flags;
mod auth_settings;
mod authority;
mod auto_compaction;
mod calls;
mod checkpoints;
mod client_tls;
mod client_versions;
mod compaction_flags;
mod config;
mod config_file;
mod connection;
mod corked;
mod corruption;
mod counted;
mod deadline;
mod directory;
mod dispatch;
mod doors;
mod expiry;
pub mod flags;
mod force;
mod foreign_flags;
mod founders;
mod go_values;
mod health;
mod http_flags;
mod identity;
mod known;
mod leading;
mod listen;
mod log_flags;
mod log_lines;
mod log_rotation;
pub mod logging;
mod member;
mod members;
mod methods;
mod metrics;
mod newcomers;
mod notify;
mod others;
mod patient;
mod peer_tls;
mod pings;
mod plain;
mod process;
pub mod program;
mod publish;
mod reflection;
mod refusals;
mod retention;
mod room;
mod round_trips;
mod settings;
mod slow;
mod sockets;
mod start;
mod takeover;
mod tls_config;
mod tls_flags;
mod trace_flags;
mod unary;
mod urls;
mod wakes;
mod workers;
mod yaml;

pub use auth_settings::{AuthSettings, AuthSettingsError, JwtSettings, TokenKind};
pub use calls::{Call, Calls};
pub use config::{
    ClusterState, Config, ConfigError, DEFAULT_QUOTA_BYTES, InitialMember, LogFormat, LogLevel, LogOutput,
    REQUEST_OVERHEAD_BYTES,
};
pub use config_file::ConfigFileError;
pub use connection::Serve;
pub use counted::Counted;
pub use dispatch::{Answer, Parts, Probes, Services};
pub use force::ForceError;
pub use founders::JoinError;
pub use identity::Identity;
pub use listen::{Bound, ListenError, Listener};
pub use log_rotation::LogRotation;
pub use member::{Member, MemberServices, Reach};
pub use others::Others;
pub use retention::{CompactionMode, Policy, Retention};
pub use settings::node_options;
pub use start::{RunError, Running, Server, StartError};
pub use takeover::TakeoverError;
pub use urls::{MemberUrl, Scheme, UrlError};
pub use workers::FrontDoor;
pub use yaml::YamlError;

#[cfg(test)]
mod front_tests;
#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod metrics_tests;
