//! The quota: what would exceed it is refused before it is proposed, and raises the alarm for all members.
//! `server::room` clears it.
//!
//! Proposals under way are not counted, so the store may come to exceed the quota by what may wait for the
//! log at once; from the alarm's entry on, every member refuses alike.

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{AlarmRequest, AlarmType};
use tonic::Status;

use super::backend::Backend;
use super::status::WireError;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Author, Runtime};

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// Whether a command of this cost fits. One that does not makes sure that the alarm is raised.
    pub(super) async fn check_quota(&self, cost: u64) -> Result<(), Status> {
        let quota = self.limits.quota_bytes;
        if quota == 0 || cost == 0 {
            return Ok(());
        }
        let size = self.state.size_bytes();
        if size.saturating_add(cost) < quota {
            return Ok(());
        }
        self.raise_no_space(size).await;
        Err(WireError::NoSpace.into())
    }

    /// Whether this member has raised the alarm.
    pub fn is_out_of_space(&self) -> bool {
        self.state.alarms.read().has(self.member, AlarmType::Nospace)
    }

    /// Clears this member's alarm, because it has room again.
    pub async fn clear_no_space(&self) {
        let _only_one = self.raising.lock().await;
        let (size, quota) = (self.state.size_bytes(), self.limits.quota_bytes);
        match self.propose_alarm(AlarmAction::Deactivate).await {
            Ok(_) => tracing::info!(size, quota, member = %self.member, "there is room again: alarm cleared"),
            // The next look tries again.
            Err(error) => tracing::warn!(size, quota, %error, "there is room again, and the alarm is not cleared yet"),
        }
    }

    async fn propose_alarm(&self, action: AlarmAction) -> Result<(), String> {
        let alarm = AlarmType::Nospace.into();
        let request = AlarmRequest { action: action.into(), member_id: self.member.0, alarm };
        let encoded = self.encoded(&Author::Member, &Command::Alarm(request));
        let reply = self.node.propose(encoded).await.map_err(|error| error.to_string())?;
        reply.outcome.map(drop).map_err(|error| error.to_string())
    }

    /// Raises the alarm unless it is, or somebody is about to: a flood of writes makes one entry.
    async fn raise_no_space(&self, size: u64) {
        let Ok(_only_one) = self.raising.try_lock() else { return };
        if self.is_out_of_space() {
            return;
        }
        let quota = self.limits.quota_bytes;
        match self.propose_alarm(AlarmAction::Activate).await {
            Ok(_) => tracing::warn!(size, quota, member = %self.member, "the quota is exceeded: alarm raised"),
            // Whoever writes next tries again.
            Err(error) => tracing::warn!(size, quota, %error, "the quota is exceeded, and no alarm could be raised"),
        }
    }
}
