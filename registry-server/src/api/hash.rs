//! Whether members hold the same: the hash of the store, and comparing it with those of others.

use std::collections::BTreeMap;

use registry_proto::etcdserverpb::HashKvResponse;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{AlarmRequest, AlarmType};
use tonic::Status;

use super::backend::{Backend, mvcc_status};
use crate::apply::WholeHash;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Author, MemberId, Revision, Runtime};

/// Keys hashed under one lock.
const HASH_KEYS: usize = 4_000;

/// What a member says that it holds up to a revision. Two can be compared if both count from the same compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    compacted: i64,
    hash: u32,
}

impl Held {
    fn of(answer: &HashKvResponse) -> Self {
        Self { compacted: answer.compact_revision, hash: answer.hash }
    }
}

/// What a comparison of members has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Up to which revision.
    pub revision: Revision,
    /// How many members were compared, this one included.
    pub compared: usize,
    /// How many did not answer, or compact just now, and are compared another time.
    pub left_out: usize,
    /// Who holds something else than most do. [`MemberId`] 0, as etcd does it, when there is no majority to believe.
    pub corrupt: Vec<MemberId>,
}

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// The hash of this member's store up to a revision; 0 or less for the newest. Done in slices on a thread of its
    /// own, so that it holds up neither writers nor other requests.
    ///
    /// # Errors
    /// etcd's for a revision that is compacted or not there yet.
    pub(super) async fn hash_kv(&self, at: Revision) -> Result<HashKvResponse, Status> {
        let state = self.state.clone();
        let (mut cursor, header, hash_revision) = {
            let store = state.store.read();
            // etcd hashes nothing at a negative revision; the newest is at least something to compare with.
            let at = if at.0 <= 0 { store.revision() } else { at };
            (store.hash_cursor(at).map_err(mvcc_status)?, self.header(store.revision()), at.0)
        };
        let hashed = R::spawn_blocking(move || {
            loop {
                let slice = state.store.read().hash_slice(&mut cursor, HASH_KEYS);
                if let Some(hash) = slice.transpose() {
                    return hash;
                }
            }
        });
        let hashed = hashed.await.map_err(|_| Status::internal("hashing the store ended without an answer"))?;
        let (hash, compacted) = hashed.map_err(mvcc_status)?;
        Ok(HashKvResponse { header: Some(header), hash, compact_revision: compacted.0, hash_revision })
    }

    /// The hash of all that this member holds now, keys and the rest.
    ///
    /// # Errors
    /// etcd's for a compacted revision, if a snapshot has replaced the state meanwhile.
    pub(super) async fn hash_whole(&self) -> Result<(u32, Revision), Status> {
        let state = self.state.clone();
        let hashed = R::spawn_blocking(move || {
            let mut hash = WholeHash::begin(&state)?;
            loop {
                if let Some(whole) = hash.slice(&state, HASH_KEYS)? {
                    return Ok((whole, hash.revision()));
                }
            }
        });
        let hashed = hashed.await.map_err(|_| Status::internal("hashing the state ended without an answer"))?;
        hashed.map_err(mvcc_status)
    }

    /// Compares what all members hold, for a leader to do; and raises the alarm CORRUPT of those who deviate.
    ///
    /// # Errors
    /// etcd's, when this member cannot say what it holds or the alarm is not accepted.
    pub async fn compare_members(&self) -> Result<Comparison, Status> {
        self.read_barrier().await?;
        let own = self.hash_kv(Revision(0)).await?;
        let revision = Revision(own.hash_revision);
        let membership = self.node.membership();
        let others = membership.members.iter().copied().filter(|member| *member != self.member);
        let asking = others.map(|member| async move { (member, self.hash_of(member, revision).await) });
        let mut held = BTreeMap::from([(self.member, Held::of(&own))]);
        let mut left_out = 0;
        for (member, answer) in futures_util::future::join_all(asking).await {
            match answer.as_ref().map(Held::of) {
                Ok(other) if other.compacted == own.compact_revision => drop(held.insert(member, other)),
                Ok(_) => left_out += 1,
                Err(status) => {
                    left_out += 1;
                    tracing::debug!(%member, %revision, error = status.message(), "the member was not compared");
                }
            }
        }
        let corrupt = deviating(&held, membership.voters.len());
        for member in &corrupt {
            self.raise_corrupt(*member, revision, &held).await?;
        }
        Ok(Comparison { revision, compared: held.len(), left_out, corrupt })
    }

    async fn raise_corrupt(
        &self,
        member: MemberId,
        revision: Revision,
        held: &BTreeMap<MemberId, Held>,
    ) -> Result<(), Status> {
        if self.state.alarms.read().has(member, AlarmType::Corrupt) {
            return Ok(());
        }
        tracing::error!(%member, %revision, ?held, "members hold different data: the alarm CORRUPT is raised");
        let (action, alarm) = (AlarmAction::Activate.into(), AlarmType::Corrupt.into());
        self.propose(&Author::Member, &Command::Alarm(AlarmRequest { action, alarm, member_id: member.0 })).await?;
        Ok(())
    }
}

/// Who does not hold what most voters would; if nothing is held by a majority, nobody can be believed.
fn deviating(held: &BTreeMap<MemberId, Held>, voters: usize) -> Vec<MemberId> {
    let mut counts = BTreeMap::<Held, usize>::new();
    held.values().for_each(|held| *counts.entry(*held).or_default() += 1);
    if counts.len() <= 1 {
        return Vec::new();
    }
    match counts.iter().find(|(_, count)| **count > voters / 2) {
        Some((right, _)) => held.iter().filter(|(_, held)| *held != right).map(|(member, _)| *member).collect(),
        None => vec![MemberId(0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(hashes: &[(u64, u32)]) -> BTreeMap<MemberId, Held> {
        hashes.iter().map(|(member, hash)| (MemberId(*member), Held { compacted: 1, hash: *hash })).collect()
    }

    #[test]
    fn who_deviates_from_a_majority_is_corrupt_be_it_the_leader() {
        assert_eq!(deviating(&held(&[(1, 7), (2, 7), (3, 7)]), 3), []);
        assert_eq!(deviating(&held(&[(1, 7), (2, 7), (3, 8)]), 3), [MemberId(3)]);
        assert_eq!(deviating(&held(&[(1, 8), (2, 7), (3, 7)]), 3), [MemberId(1)]);
        assert_eq!(deviating(&held(&[(1, 7), (2, 7), (3, 7), (4, 8), (5, 9)]), 5), [MemberId(4), MemberId(5)]);
    }

    #[test]
    fn without_a_majority_nobody_in_particular_is_corrupt() {
        assert_eq!(deviating(&held(&[(1, 7), (2, 8)]), 3), [MemberId(0)]);
        assert_eq!(deviating(&held(&[(1, 7), (2, 7), (3, 8), (4, 8)]), 4), [MemberId(0)]);
        assert_eq!(deviating(&held(&[(1, 7)]), 3), []);
    }
}
