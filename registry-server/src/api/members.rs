//! Changes of members, on the leader: checked, put into the log, and waited for until Raft has followed.

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::Status;

use super::backend::Backend;
use super::status::WireError;
use crate::command::{Command, MemberChange, MemberChangeKind};
use crate::consensus::Membership;
use crate::storage::Vfs;
use crate::types::{Author, MemberId, Runtime};

/// Between two looks at Raft's membership.
const PAUSE: Duration = Duration::from_millis(10);
/// A learner is ready to be promoted when it has so much of the leader's log, as in etcd.
const READY_PERCENT: u64 = 90;

/// Changes a member in the name of an author that was found to be permitted; none if this member does not lead.
///
/// # Errors
/// etcd's.
pub(super) async fn change_member<R: Runtime, V: Vfs>(
    backend: &Backend<R, V>,
    author: &Author,
    change: &MemberChange,
) -> Result<Option<()>, Status> {
    let _one_at_a_time = backend.changing.lock().await;
    if backend.node.confirm_leading().await.is_err() {
        return Ok(None);
    }
    if change.kind() == MemberChangeKind::Add && !backend.has_peer_port {
        let text = "this member does not listen for others: start it with a free port in --listen-peer-urls";
        return Err(Status::failed_precondition(text));
    }
    check(backend, change)?;
    let allowed = allowing(backend.limits.max_learners, backend.state.cluster.read().learners(), change.clone());
    backend.propose(author, &Command::Member(allowed)).await?;
    // A leader that is to go does not see itself out: it has done its part when another one leads.
    let goes = change.kind() == MemberChangeKind::Remove && MemberId(change.id) == backend.member;
    let has_gone = || goes && backend.node.status().leader.is_some_and(|leader| leader != backend.member);
    let followed = async {
        while !has_gone() && !is_followed(&backend.node.membership(), change) {
            R::sleep(PAUSE).await;
        }
    };
    // The change is in the log, and whoever leads goes on with it.
    R::timeout(backend.node.request_timeout(), followed).await.map_err(|_| Status::from(WireError::Timeout))?;
    Ok(Some(()))
}

/// What etcd checks with `--strict-reconfig-check`, and what it asks of a learner.
fn check<R: Runtime, V: Vfs>(backend: &Backend<R, V>, change: &MemberChange) -> Result<(), WireError> {
    let (raft, progress) = (backend.node.membership(), backend.node.progress());
    let id = MemberId(change.id);
    match change.kind() {
        // What more than none is, is checked where the change is applied.
        MemberChangeKind::Add if change.is_learner && backend.limits.max_learners == 0 => {
            Err(WireError::TooManyLearners)
        }
        MemberChangeKind::Add if change.is_learner => Ok(()),
        MemberChangeKind::Add => {
            // One at a time: the one before has not started, or is catching up.
            let cluster = backend.state.cluster.read();
            let mut waiting = cluster.members().filter(|m| !m.is_learner && !raft.voters.contains(&MemberId(m.id)));
            if waiting.next().is_some() { Err(WireError::MemberNotEnoughStarted) } else { Ok(()) }
        }
        MemberChangeKind::Remove if raft.voters.contains(&id) => {
            let left: BTreeSet<_> = raft.voters.iter().filter(|voter| **voter != id).collect();
            let is_present = |voter: &&&MemberId| {
                ***voter == backend.member || progress.get(**voter).is_some_and(|progress| progress.is_present)
            };
            let present = left.iter().filter(is_present).count();
            if present > left.len() / 2 { Ok(()) } else { Err(WireError::MemberNotEnoughStarted) }
        }
        MemberChangeKind::Promote if backend.state.cluster.read().get(id).is_some_and(|m| m.is_learner) => {
            let last = backend.node.status().last_index;
            let is_ready = progress
                .get(&id)
                .is_some_and(|learner| learner.is_present && learner.matched_index >= last * READY_PERCENT / 100);
            if is_ready { Ok(()) } else { Err(WireError::LearnerNotReady) }
        }
        _ => Ok(()),
    }
}

/// The change, with how many learners there may be where more than usual are. Members of before do not know of that, and
/// need not otherwise.
fn allowing(max_learners: u32, learners: usize, change: MemberChange) -> MemberChange {
    let is_one_more = change.kind() == MemberChangeKind::Add && change.is_learner && learners > 0;
    MemberChange { max_learners: if is_one_more { max_learners } else { 0 }, ..change }
}

/// Whether Raft's membership is what the change asks for. One who is to vote gets the vote later, when it has caught up,
/// unless it was a learner that was ready.
fn is_followed(raft: &Membership, change: &MemberChange) -> bool {
    let id = MemberId(change.id);
    match change.kind() {
        MemberChangeKind::Add => raft.members.contains(&id),
        MemberChangeKind::Remove => !raft.members.contains(&id),
        MemberChangeKind::Promote => raft.voters.contains(&id),
        MemberChangeKind::Update | MemberChangeKind::Unknown => true,
    }
}
