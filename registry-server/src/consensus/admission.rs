//! Who may call a member, whatever way the call comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::peer_service::{CLUSTER, TO};
use super::receiver::Receive;
use super::transport::Directory;
use crate::types::{ClusterId, MemberId};

/// Strangers that are told of in the log, at most.
const MAX_TOLD: usize = 64;

/// What a call says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The member that calls.
    pub from: Option<MemberId>,
    /// The cluster that it means.
    pub cluster: Option<ClusterId>,
    /// The member that it means.
    pub to: Option<MemberId>,
}

/// Why a call is not answered; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Nobody else tells it.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// It does not say whom it means.
    #[error("the call does not name its {what}: {name} is missing")]
    Unnamed {
        /// Cluster or member.
        what: &'static str,
        /// The metadata that says it.
        name: &'static str,
    },
    /// It means somebody else.
    #[error("{0}")]
    Mismatch(String),
    /// It comes from no member, and this one knows all.
    #[error("the caller is no member of this cluster")]
    Stranger,
}

/// Guards one member.
pub struct Admission {
    receiver: Arc<dyn Receive>,
    directory: Arc<dyn Directory>,
    pub(super) cluster: ClusterId,
    pub(super) member: MemberId,
    /// Whose refusal is in the log already.
    told: Mutex<BTreeSet<MemberId>>,
}

impl Admission {
    /// Guards `member` of `cluster`, which `receiver` answers for.
    pub fn new(
        receiver: Arc<dyn Receive>,
        directory: Arc<dyn Directory>,
        cluster: ClusterId,
        member: MemberId,
    ) -> Self {
        Self { receiver, directory, cluster, member, told: Mutex::default() }
    }

    /// Refuses what another cluster or member is meant by, and who was removed.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn check(&self, caller: Caller) -> Result<(), NotAdmitted> {
        // Not before Raft has removed it: until then it may have to hand over, and counts for the quorum.
        let is_out = |id: MemberId| self.directory.was_removed(id) && !self.receiver.is_member(id);
        if caller.from.is_some_and(is_out) {
            return Err(NotAdmitted::Removed);
        }
        let (cluster, to) = (caller.cluster.map(|id| id.0), caller.to.map(|id| id.0));
        for (meant, own, what, name) in
            [(cluster, self.cluster.0, "cluster", CLUSTER), (to, self.member.0, "member", TO)]
        {
            let meant = meant.ok_or(NotAdmitted::Unnamed { what, name })?;
            if meant != own {
                let mend = "check --initial-cluster and --initial-cluster-token of both members";
                let text = format!("this is {what} {own:x}, and the call is for {meant:x}: {mend}");
                self.tell_once(caller.from.unwrap_or_default(), &text);
                return Err(NotAdmitted::Mismatch(text));
            }
        }
        // Who has the only vote knows every member. Others may be of the cluster that this one was forced out of: they are
        // told so once the log says it, and must not lead here before.
        let is_stranger = caller.from.is_some_and(|from| !self.receiver.is_member(from));
        if is_stranger && self.receiver.is_only_voter() {
            return Err(NotAdmitted::Stranger);
        }
        Ok(())
    }

    /// Such a peer calls many times a second.
    fn tell_once(&self, from: MemberId, text: &str) {
        let mut told = self.told.lock();
        if told.len() < MAX_TOLD && told.insert(from) {
            tracing::warn!(%from, "a peer is refused: {text}");
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("cluster", &self.cluster)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}
