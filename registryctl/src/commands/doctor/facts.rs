//! What was seen, before anybody judges it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use registry_proto::etcdserverpb::{AlarmMember, HashKvResponse, Member, StatusResponse};
use tonic::Code;

use crate::error::CtlError;
use crate::http::Target;
use crate::http::certificate::Lifetime;
use crate::http::figures::Histogram;

/// All that was seen.
pub(super) struct Facts {
    /// Each endpoint that was given, and then those of members that were not among them.
    pub(super) looks: Vec<Look>,
    /// None if no endpoint answered.
    pub(super) cluster: Option<Cluster>,
    /// This machine's clock.
    pub(super) now: SystemTime,
    /// The client's own certificate: its file and its dates.
    pub(super) own_certificate: Option<(PathBuf, Lifetime)>,
    /// How long before its end a certificate is warned about.
    pub(super) expires_within: Duration,
}

/// What an endpoint looks like.
pub(super) struct Look {
    pub(super) endpoint: String,
    /// None for what is no address.
    pub(super) place: Option<Target>,
    pub(super) spoken: Spoken,
    /// Why the user could not log in; all else was then asked without a user.
    pub(super) login: Option<String>,
    pub(super) status: Asked<StatusResponse>,
    /// How long a read took that needs a majority.
    pub(super) read: Asked<Duration>,
    pub(super) clock: Option<Clock>,
    pub(super) versions: Option<Versions>,
    pub(super) figures: Result<Figured, String>,
    /// Of what the server presented, its own certificate first.
    pub(super) lifetimes: Vec<Lifetime>,
    /// If it was asked for.
    pub(super) hash: Option<Asked<HashKvResponse>>,
}

/// What is spoken at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spoken {
    /// What clients of this API are told.
    Api,
    /// What members are told.
    Peer,
    /// HTTP, of something else; the status that answered `/version`.
    Http(u16),
    /// Nothing: nobody listens there.
    Closed(String),
    /// Neither HTTP/1 nor TLS.
    Strange(String),
    /// TLS, with a handshake that failed.
    Unshaken(String),
    /// TLS, where the endpoint asks for plain HTTP.
    Secure,
    /// Plain HTTP, where the endpoint asks for TLS.
    Plain,
    /// It was not looked at: no address of a host and a port.
    Unseen,
}

/// The server's clock less this machine's, in seconds: not below the one and not above the other. The server tells whole
/// seconds, so they are one second and the time of the answer apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) least: f64,
    pub(super) most: f64,
}

/// What `/version` tells.
#[derive(Debug, Clone)]
pub(super) struct Versions {
    pub(super) server: String,
    pub(super) cluster: String,
}

/// What was read of the metrics.
#[derive(Debug, Clone, Default)]
pub(super) struct Figured {
    /// How long syncs of the log took.
    pub(super) sync: Option<Histogram>,
    /// How long commits of the database took.
    pub(super) commit: Option<Histogram>,
    /// Of what time both are; none for since the server's start.
    pub(super) window: Option<Duration>,
    /// How large the database may grow; none where it is not told, or not bounded.
    pub(super) quota_bytes: Option<u64>,
}

/// What one of the endpoints tells of the cluster.
pub(super) struct Cluster {
    /// Which endpoint.
    pub(super) endpoint: String,
    pub(super) id: u64,
    pub(super) members: Asked<Vec<Member>>,
    pub(super) alarms: Asked<Vec<AlarmMember>>,
    pub(super) leases: Asked<Leases>,
    /// Members were not looked for beyond the endpoints that were given.
    pub(super) is_given_only: bool,
}

/// The leases, as far as they were looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases {
    pub(super) total: usize,
    pub(super) looked_at: usize,
    /// Held no key when they were looked at, and a second later.
    pub(super) orphans: Vec<i64>,
}

/// What was asked for, or why it was not answered.
pub(super) type Asked<T> = Result<T, Refusal>;

/// Why something was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The user may not ask this.
    pub(super) is_forbidden: bool,
    pub(super) text: String,
}

impl From<CtlError> for Refusal {
    fn from(error: CtlError) -> Self {
        let is_forbidden = match &error {
            // A server of etcd says so to who has not logged in.
            CtlError::Status(status) => {
                matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
                    || status.message().contains("user name is empty")
            }
            _ => false,
        };
        Self { is_forbidden, text: error.to_string() }
    }
}

impl Look {
    /// It answers as a member.
    pub(super) fn answers(&self) -> bool {
        self.status.is_ok()
    }

    /// The member that answers.
    pub(super) fn member_id(&self) -> Option<u64> {
        Some(self.status.as_ref().ok()?.header.as_ref()?.member_id)
    }

    /// The cluster of the member that answers.
    pub(super) fn cluster_id(&self) -> Option<u64> {
        Some(self.status.as_ref().ok()?.header.as_ref()?.cluster_id)
    }

    /// One of these URLs leads there.
    pub(super) fn is_at(&self, urls: &[String]) -> bool {
        match &self.place {
            Some(place) => urls.iter().any(|url| place.is_url(url)),
            None => urls.contains(&self.endpoint),
        }
    }
}

impl Facts {
    /// Those that answer as members of the cluster.
    pub(super) fn of_the_cluster(&self) -> impl Iterator<Item = (&Look, &StatusResponse)> {
        let id = self.cluster.as_ref().map(|cluster| cluster.id);
        let ours = self.looks.iter().filter(move |look| look.cluster_id() == id);
        ours.filter_map(|look| Some((look, look.status.as_ref().ok()?)))
    }

    /// The command that does something about it, at an endpoint that answers.
    pub(super) fn command(&self, line: &str) -> String {
        match &self.cluster {
            Some(cluster) => format!("`registryctl --endpoints {} {line}`", cluster.endpoint),
            None => format!("`registryctl {line}`"),
        }
    }
}
