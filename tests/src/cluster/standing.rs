//! What the members say of themselves and of each other.

use std::time::Duration;

use registry_proto::etcdserverpb::{HashKvRequest, StatusRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Cluster;
use crate::budget::SOON;
use crate::client::Client;
use crate::wait::eventually;

/// What a member that lives says of itself within this; one that is paused says nothing.
const STATUS: Duration = Duration::from_secs(2);

/// What one member says of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which one says it.
    pub member: usize,
    /// Its id.
    pub id: u64,
    /// The id of the member that it takes for the leader; 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Its revision.
    pub revision: i64,
}

impl Cluster {
    /// What the members that answer say, in their order.
    pub async fn standings(&self) -> Vec<Standing> {
        let mut asked = JoinSet::new();
        for member in self.alive() {
            asked.spawn(ask(member, self.client(member)));
        }
        let mut standings: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        standings.sort_unstable_by_key(|standing| standing.member);
        standings
    }

    /// The member that says it leads, in the latest term that anybody knows; none while there is no such one.
    pub async fn leader(&self) -> Option<usize> {
        let standings = self.standings().await;
        let term = standings.iter().map(|standing| standing.term).max()?;
        let leads = |standing: &&Standing| standing.term == term && standing.leader == standing.id;
        standings.iter().find(leads).map(|standing| standing.member)
    }

    /// Waits for a leader on which all members agree that answer.
    ///
    /// # Panics
    /// When there is none within [`SOON`].
    pub async fn wait_for_leader(&self) -> usize {
        self.wait_for_leader_of(&self.alive()).await
    }

    /// Waits for a leader among some members, on which they agree: the others may think what they like.
    ///
    /// # Panics
    /// When there is none within [`SOON`].
    pub async fn wait_for_leader_of(&self, members: &[usize]) -> usize {
        let found = parking_lot::Mutex::new(None);
        eventually(SOON, &format!("members {members:?} agree on a leader among them"), async || {
            let mut standings = self.standings().await;
            standings.retain(|standing| members.contains(&standing.member));
            let Some(first) = standings.first().copied() else { return false };
            let agree = standings.iter().all(|other| (other.leader, other.term) == (first.leader, first.term));
            let leader = standings.iter().find(|standing| standing.id == first.leader);
            *found.lock() = leader.map(|leader| leader.member);
            agree && standings.len() == members.len() && leader.is_some()
        })
        .await;
        found.into_inner().expect("set when the wait ended")
    }

    /// The hash of all members' key-values at one revision, which must be one and the same; members that are
    /// behind are waited for.
    ///
    /// # Panics
    /// When the hashes differ, and when a member has none within [`SOON`].
    pub async fn assert_equal_hashes(&self, revision: i64) -> u32 {
        let hashes = parking_lot::Mutex::new(Vec::new());
        for member in self.members() {
            eventually(SOON, &format!("member {member} has revision {revision}"), async || {
                let mut maintenance = self.client(member).maintenance;
                let Ok(answer) = maintenance.hash_kv(HashKvRequest { revision }).await else { return false };
                let answer = answer.into_inner();
                hashes.lock().push((answer.hash, answer.compact_revision));
                true
            })
            .await;
        }
        let hashes = hashes.into_inner();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "at revision {revision}: {hashes:?}");
        hashes[0].0
    }
}

/// Asks a member for its status.
pub(super) async fn ask(member: usize, client: Client) -> Option<Standing> {
    let mut maintenance = client.maintenance;
    let answer = timeout(STATUS, maintenance.status(StatusRequest {})).await.ok()?.ok()?.into_inner();
    let header = answer.header?;
    let (id, revision) = (header.member_id, header.revision);
    Some(Standing { member, id, leader: answer.leader, term: answer.raft_term, revision })
}
