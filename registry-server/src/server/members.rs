//! The leader takes Raft's membership to the members that clients have asked for, one step at a time.
//!
//! Whoever is to have a vote joins without one, and gets it when it has caught up: a member that never starts never counts
//! for a quorum. A leader that was removed hands over first, and its successor does the rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::apply::{Machine, State};
use crate::cluster::Cluster;
use crate::consensus::{Membership, MembershipChange, Node, PeerNode, Progress};
use crate::storage::Vfs;
use crate::types::planted::{Bug, planted};
use crate::types::{MemberId, Runtime};

/// Between two looks at what is to be done.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two calls of a member that hears of no leader.
const SILENT_PAUSE: Duration = Duration::from_secs(2);
/// A member has caught up when it is so many entries behind at most: a moment of load.
const CAUGHT_UP_ENTRIES: u64 = 64;

/// Changes Raft's membership for as long as the node runs, while it leads.
pub(super) async fn keep_members<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, state: Arc<State>, own: MemberId) {
    node.while_running(async {
        loop {
            R::sleep(PAUSE).await;
            if node.status().leader == Some(own) {
                take_step(&node, &state, own).await;
            }
        }
    })
    .await;
}

/// Cancels `removed` once this member's own log says that it was removed. Most never see that entry: they ask for votes, and
/// are told by their peers. One that does see it asks for none any more, so nobody tells it.
pub(super) async fn notice_removal<R: Runtime, V: Vfs>(
    node: Node<Machine, R, V>,
    state: Arc<State>,
    own: MemberId,
    removed: CancellationToken,
) {
    let removal = async {
        // Raft's membership as well: while that has it, it may still have to hand over.
        while !state.cluster.read().was_removed(own) || node.membership().members.contains(&own) {
            R::sleep(PAUSE).await;
        }
        removed.cancel();
    };
    node.while_running(removal).await;
}

/// Calls the others for as long as this member hears of no leader. One that was removed while it led and was handing over asks
/// for no votes and sends no heartbeats, and nobody calls it: it would go on for ever.
pub(super) async fn ask_when_silent<R: Runtime, V: Vfs>(node: Node<Machine, R, V>) {
    node.while_running(async {
        loop {
            R::sleep(SILENT_PAUSE).await;
            if node.status().leader.is_none() {
                node.show_itself().await;
            }
        }
    })
    .await;
}

async fn take_step<R: Runtime, V: Vfs>(node: &Node<Machine, R, V>, state: &State, own: MemberId) {
    let find = || {
        let (raft, progress, last) = (node.membership(), node.progress(), node.status().last_index);
        next_step(&state.cluster.read(), &raft, &progress, last, own)
    };
    // Looked for again once all that was committed has been applied here: a new leader may not know of a change yet.
    if find().is_none() || node.confirm_leading().await.is_err() {
        return;
    }
    let step = find();
    let outcome = match &step {
        None => return,
        Some(MembershipChange::Remove(id)) if *id == own => {
            node.hand_over(None).await.map_err(|error| error.to_string())
        }
        Some(step) => node.change_membership(step).await.map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => tracing::info!(?step, "the membership was changed"),
        // It is tried again: the change before is not committed yet, or leadership is lost.
        Err(error) => tracing::debug!(?step, error, "the membership is not changed yet"),
    }
}

/// What is to be done next: removals first, as they make quorums smaller. This node itself goes last, when there is
/// somebody to hand over to.
fn next_step(
    cluster: &Cluster,
    raft: &Membership,
    progress: &BTreeMap<MemberId, Progress>,
    last_index: u64,
    own: MemberId,
) -> Option<MembershipChange> {
    let is_out = |id| cluster.was_removed(id) && !planted(Bug::RemovalKeepsVote);
    let mut out = raft.members.iter().filter(|id| is_out(**id));
    if let Some(id) = out.clone().find(|id| **id != own) {
        return Some(MembershipChange::Remove(*id));
    }
    let has_caught_up = |id: &MemberId| {
        let progress = progress.get(id).copied().unwrap_or_default();
        progress.is_present && progress.matched_index + CAUGHT_UP_ENTRIES >= last_index
    };
    let joining = cluster.members().find_map(|member| {
        let id = MemberId(member.id);
        if !raft.members.contains(&id) {
            return Some(MembershipChange::Add(id, PeerNode { peer_urls: member.peer_ur_ls.clone() }));
        }
        let waits = !member.is_learner && !raft.voters.contains(&id);
        (waits && has_caught_up(&id)).then_some(MembershipChange::Promote(id))
    });
    joining.or_else(|| out.next().map(|own| MembershipChange::Remove(*own)))
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::Member;

    use super::*;

    fn ids(ids: &[u64]) -> std::collections::BTreeSet<MemberId> {
        ids.iter().copied().map(MemberId).collect()
    }

    fn member(id: u64, is_learner: bool) -> Member {
        Member { id, is_learner, peer_ur_ls: vec![format!("http://m{id}:1")], ..Member::default() }
    }

    fn at(index: u64, is_present: bool) -> Progress {
        Progress { matched_index: index, is_present }
    }

    #[test]
    fn a_voter_joins_without_a_vote_and_gets_it_when_it_has_caught_up() {
        let cluster = Cluster::restored([member(1, false), member(2, false)], []);
        let alone = Membership { voters: ids(&[1]), members: ids(&[1]) };
        let node = PeerNode { peer_urls: vec!["http://m2:1".to_owned()] };
        let added = next_step(&cluster, &alone, &BTreeMap::new(), 1_000, MemberId(1));
        assert_eq!(added, Some(MembershipChange::Add(MemberId(2), node)));
        let joined = Membership { voters: ids(&[1]), members: ids(&[1, 2]) };
        let step = |progress| next_step(&cluster, &joined, &[(MemberId(2), progress)].into(), 1_000, MemberId(1));
        assert_eq!(step(at(10, true)), None);
        assert_eq!(step(at(1_000, false)), None);
        assert_eq!(step(at(990, true)), Some(MembershipChange::Promote(MemberId(2))));
    }

    #[test]
    fn a_learner_stays_one_and_whoever_was_removed_goes_first() {
        let cluster = Cluster::restored([member(1, false), member(2, true), member(4, false)], [3]);
        let raft = Membership { voters: ids(&[1, 3]), members: ids(&[1, 2, 3]) };
        let progress = [(MemberId(2), at(1_000, true))].into();
        assert_eq!(
            next_step(&cluster, &raft, &progress, 1_000, MemberId(1)),
            Some(MembershipChange::Remove(MemberId(3)))
        );
        let own_last = next_step(&cluster, &raft, &progress, 1_000, MemberId(3));
        let node = PeerNode { peer_urls: vec!["http://m4:1".to_owned()] };
        assert_eq!(own_last, Some(MembershipChange::Add(MemberId(4), node)));
        let raft = Membership { voters: ids(&[1, 4]), members: ids(&[1, 2, 4]) };
        assert_eq!(next_step(&cluster, &raft, &progress, 1_000, MemberId(1)), None);
    }
}
