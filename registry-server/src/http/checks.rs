//! `/livez` and `/readyz`: named checks, one by one or all together.
//!
//! A node is live while it can read its own store, so a lost quorum does not get healthy nodes restarted.
//! It is ready when clients can be sent to it.

use std::fmt::Write as _;

use http::{Response, StatusCode};
use registry_proto::etcdserverpb::AlarmType;
use tonic::body::Body;

use super::counts::Counts;
use super::{HealthSource, Query, reply};

/// One thing that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

const LIVEZ: &[Check] = &[Check::SerializableRead];
const READYZ: &[Check] = &[Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

/// Each check under each path.
pub(super) const CHECKS: [(&str, Check); 5] = [
    ("livez", Check::SerializableRead),
    ("readyz", Check::DataCorruption),
    ("readyz", Check::SerializableRead),
    ("readyz", Check::LinearizableRead),
    ("readyz", Check::NonLearner),
];

/// What a path runs, and the first part of the path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Group {
    All(&'static str, &'static [Check]),
    One(&'static str, Check),
}

/// The checks that a path names.
pub(super) fn find(path: &str) -> Option<Group> {
    let (root, check) = match path.strip_prefix('/')?.split_once('/') {
        Some((root, check)) => (root, Some(check)),
        None => (&path[1..], None),
    };
    let (root, checks) = match root {
        "livez" => ("livez", LIVEZ),
        "readyz" => ("readyz", READYZ),
        _ => return None,
    };
    match check {
        None => Some(Group::All(root, checks)),
        Some(name) => checks.iter().find(|check| check.name() == name).map(|check| Group::One(root, *check)),
    }
}

/// Runs the checks. `?exclude=<check>` leaves one out, `?verbose` tells of those that passed.
pub(super) async fn answer(source: &dyn HealthSource, counts: &Counts, group: Group, query: &Query) -> Response<Body> {
    let (root, checks) = match group {
        Group::One(root, check) => (root, vec![check]),
        Group::All(root, checks) => {
            let is_excluded = |check: &Check| query.values("exclude").any(|name| name == check.name());
            (root, checks.iter().copied().filter(|check| !is_excluded(check)).collect())
        }
    };
    let mut report = String::new();
    let mut all_passed = true;
    for check in checks {
        let outcome = check.run(source).await;
        counts.check(root, check, outcome.is_ok());
        let written = match outcome {
            Ok(()) => writeln!(report, "[+]{} ok", check.name()),
            Err(reason) => {
                all_passed = false;
                writeln!(report, "[-]{} failed: {reason}", check.name())
            }
        };
        written.expect("writing to a string cannot fail");
    }
    if !all_passed {
        tracing::warn!(report, "a health check fails");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, report);
    }
    if !query.has("verbose") {
        report.clear();
    }
    report.push_str("ok\n");
    reply::plain(report)
}

impl Check {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, source: &dyn HealthSource) -> Result<(), String> {
        match self {
            Self::DataCorruption if source.alarms().contains(&AlarmType::Corrupt) => {
                Err("alarm activated: CORRUPT".to_owned())
            }
            Self::NonLearner if source.is_learner() => Err("not supported for learner".to_owned()),
            Self::DataCorruption | Self::NonLearner => Ok(()),
            Self::SerializableRead => read(source, true).await,
            Self::LinearizableRead => read(source, false).await,
        }
    }
}

async fn read(source: &dyn HealthSource, serializable: bool) -> Result<(), String> {
    source.read(serializable).await.map_err(|status| status.message().to_owned())
}
