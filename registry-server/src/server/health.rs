//! What the health checks see of the node.

use registry_proto::etcdserverpb::AlarmType;

use crate::api::SharedBackend;
use crate::http::{HealthSource, ReadFuture};
use crate::storage::Vfs;
use crate::types::Runtime;

/// The node behind the HTTP paths.
pub(super) struct BackendHealth<R: Runtime, V: Vfs>(SharedBackend<R, V>);

impl<R: Runtime, V: Vfs> BackendHealth<R, V> {
    pub(super) fn new(backend: SharedBackend<R, V>) -> Self {
        Self(backend)
    }
}

impl<R: Runtime, V: Vfs> HealthSource for BackendHealth<R, V> {
    fn read(&self, serializable: bool) -> ReadFuture<'_> {
        Box::pin(async move {
            if serializable {
                // The lock is what a read needs of this node; whoever held it for ever would be seen here.
                drop(self.0.state.store.read());
                return Ok(());
            }
            self.0.read_barrier().await
        })
    }

    fn alarms(&self) -> Vec<AlarmType> {
        self.0.state.alarms.read().iter().map(|(_, alarm)| alarm).collect()
    }

    fn has_leader(&self) -> bool {
        self.0.node.status().leader.is_some()
    }

    fn is_learner(&self) -> bool {
        self.0.is_learner()
    }

    /// etcd's `raft.status`, without what belongs to its Raft alone.
    fn vars(&self) -> Vec<(&'static str, serde_json::Value)> {
        let (raft, member) = (self.0.node.status(), self.0.member);
        let state = match raft.leader {
            Some(leader) if leader == member => "StateLeader",
            Some(_) => "StateFollower",
            None => "StateCandidate",
        };
        let id = |id: u64| format!("{id:x}");
        let status = serde_json::json!({
            "id": id(member.0), "term": raft.term, "commit": raft.committed_index, "applied": raft.applied_index,
            "lead": id(raft.leader.map_or(0, |leader| leader.0)), "raftState": state,
        });
        vec![("raft.status", status)]
    }
}
