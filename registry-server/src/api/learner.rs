//! What a member without a vote answers: as in etcd, its status, serializable ranges and snapshots.

use tonic::Status;

use super::status::WireError;

/// The calls that a learner takes. Whether a range is serializable is seen when it is decoded.
const ALLOWED: [&str; 4] = [
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/RangeStream",
];

/// Refuses what a learner does not do.
pub struct LearnerCalls {
    is_learner: Box<dyn Fn() -> bool + Send + Sync>,
}

impl LearnerCalls {
    /// Asks `is_learner` whether this member is one.
    pub fn new(is_learner: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_learner: Box::new(is_learner) }
    }

    /// Refuses a call that a learner does not take.
    ///
    /// # Errors
    /// etcd's "rpc not supported for learner".
    pub fn check(&self, path: &str) -> Result<(), Status> {
        let is_etcds = path.starts_with("/etcdserverpb.") || path.starts_with("/v3");
        if is_etcds && !ALLOWED.contains(&path) && (self.is_learner)() {
            return Err(WireError::NotSupportedForLearner.into());
        }
        Ok(())
    }
}

impl std::fmt::Debug for LearnerCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LearnerCalls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_answers_its_status_ranges_snapshots_and_its_health() {
        let (learner, voter) = (LearnerCalls::new(|| true), LearnerCalls::new(|| false));
        let taken = ["Maintenance/Status", "Maintenance/Snapshot", "KV/Range", "KV/RangeStream"];
        let taken = taken.map(|call| format!("/etcdserverpb.{call}"));
        for path in taken.iter().map(String::as_str).chain(["/grpc.health.v1.Health/Check"]) {
            assert!(learner.check(path).is_ok(), "{path}");
        }
        for path in ["/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch", "/v3lockpb.Lock/Lock"] {
            assert_eq!(learner.check(path).unwrap_err().message(), "etcdserver: rpc not supported for learner");
            assert!(voter.check(path).is_ok(), "{path}");
        }
    }
}
