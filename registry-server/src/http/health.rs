//! `/health`: one answer for the whole node, in JSON.

use http::{Response, StatusCode};
use registry_proto::etcdserverpb::AlarmType;
use tonic::body::Body;

use super::counts::Counts;
use super::{HealthSource, Query, reply};

/// `?serializable=true` asks about this node instead of the cluster; `?exclude=NOSPACE` overlooks an alarm.
pub(super) async fn answer(source: &dyn HealthSource, counts: &Counts, query: &Query) -> Response<Body> {
    let serializable = query.values("serializable").next() == Some("true");
    let ailment = ailment(source, query, serializable).await;
    counts.health(ailment.is_none());
    match ailment {
        None => reply::text(body(true, "")),
        Some(reason) => {
            tracing::warn!(reason, "/health is answered with an error");
            reply::error(StatusCode::SERVICE_UNAVAILABLE, body(false, &reason))
        }
    }
}

/// The first thing that is wrong.
async fn ailment(source: &dyn HealthSource, query: &Query, serializable: bool) -> Option<String> {
    let is_excluded = |alarm: &AlarmType| query.values("exclude").any(|name| name == alarm.as_str_name());
    if let Some(alarm) = source.alarms().iter().find(|alarm| !is_excluded(alarm)) {
        let name = match alarm {
            AlarmType::Nospace | AlarmType::Corrupt => alarm.as_str_name(),
            AlarmType::None => "UNKNOWN",
        };
        return Some(format!("ALARM {name}"));
    }
    if !serializable && !source.has_leader() {
        return Some("RAFT NO LEADER".to_owned());
    }
    let failure = source.read(serializable).await.err()?;
    Some(format!("RANGE ERROR:{}", failure.message()))
}

/// The two fields are strings, the flag too; the order is etcd's.
fn body(healthy: bool, reason: &str) -> String {
    let reason = serde_json::Value::from(reason);
    format!(r#"{{"health":"{healthy}","reason":{reason}}}"#)
}
