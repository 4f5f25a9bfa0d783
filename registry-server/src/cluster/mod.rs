//! The members of the cluster as clients see them: replicated names and URLs, and how ids come about.

mod version;

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::etcdserverpb::Member;

pub use self::version::KNOWN_VERSION;
use self::version::Versions;
use crate::types::planted::{Bug, planted};
use crate::types::{ClusterId, MemberId};

/// The members by id, and who was one. Raft follows: the leader takes its members to what stands here, one at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cluster {
    members: BTreeMap<MemberId, Member>,
    /// Ids are never given twice: who was removed stays out.
    removed: BTreeSet<MemberId>,
    versions: Versions,
}

/// Learners that a cluster has at most unless its leader's settings allow more, as in etcd.
pub const MAX_LEARNERS: usize = 1;

/// A change that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The id is another member's, or was one's.
    #[error("member ID already exist")]
    IdExists,
    /// Another member has one of the peer URLs.
    #[error("Peer URLs already exists")]
    UrlExists,
    /// There is no such member.
    #[error("member not found")]
    NotFound,
    /// Only a learner is promoted.
    #[error("can only promote a learner member")]
    NotLearner,
    /// There are as many as there may be.
    #[error("too many learner members in cluster")]
    TooManyLearners,
    /// The cluster's version is above the member's: its log says what the member does not know.
    #[error("the member's version is below the cluster's")]
    TooOld,
    /// The last voter is not removed.
    #[error("re-configuration failed due to not enough started members")]
    LastVoter,
}

impl Cluster {
    /// The members of a snapshot.
    pub fn restored(members: impl IntoIterator<Item = Member>, removed: impl IntoIterator<Item = u64>) -> Self {
        let named = |member: Member| match planted(Bug::SnapshotForgetsNames) {
            true => Member { name: String::new(), ..member },
            false => member,
        };
        let members = members.into_iter().map(|member| (MemberId(member.id), named(member))).collect();
        Self { members, removed: removed.into_iter().map(MemberId).collect(), versions: Versions::default() }
    }

    /// The same with the versions of a snapshot: the members', and the cluster's.
    #[must_use]
    pub fn with_versions(self, told: impl IntoIterator<Item = (MemberId, u32)>, cluster: u32) -> Self {
        Self { versions: Versions::restored(told, cluster), ..self }
    }

    /// A member that Raft knows, from the founding of the cluster or from an older version's log.
    pub fn found(&mut self, id: MemberId, peer_urls: &[String]) {
        if !self.removed.contains(&id) {
            let member = || Member { id: id.0, peer_ur_ls: peer_urls.to_vec(), ..Member::default() };
            self.members.entry(id).or_insert_with(member);
        }
    }

    /// Takes a member's own word for its name and where clients reach it. Whoever was removed is not heard.
    pub fn publish(&mut self, member: Member) {
        let id = MemberId(member.id);
        if self.removed.contains(&id) {
            return;
        }
        match self.members.get_mut(&id) {
            Some(known) => (known.name, known.client_ur_ls) = (member.name, member.client_ur_ls),
            None => drop(self.members.insert(id, member)),
        }
    }

    /// Adds a member that has not started, and so has no name.
    ///
    /// # Errors
    /// The id or a URL is taken, or there are too many learners.
    pub fn add(&mut self, member: Member, max_learners: usize) -> Result<(), MemberError> {
        let id = MemberId(member.id);
        if self.members.contains_key(&id) || self.removed.contains(&id) {
            return Err(MemberError::IdExists);
        }
        self.check_urls(id, &member.peer_ur_ls)?;
        if member.is_learner && self.learners() >= max_learners.max(MAX_LEARNERS) {
            return Err(MemberError::TooManyLearners);
        }
        self.members.insert(id, member);
        Ok(())
    }

    /// How many learners there are.
    #[must_use]
    pub fn learners(&self) -> usize {
        self.members.values().filter(|member| member.is_learner).count()
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// It is not there, or it is the last voter.
    pub fn remove(&mut self, id: MemberId) -> Result<(), MemberError> {
        let member = self.members.get(&id).ok_or(MemberError::NotFound)?;
        let voters = self.members.values().filter(|member| !member.is_learner).count();
        if !member.is_learner && voters == 1 {
            return Err(MemberError::LastVoter);
        }
        self.members.remove(&id);
        self.removed.insert(id);
        self.versions.forget(id);
        self.versions.raise(self.members.keys().copied());
        Ok(())
    }

    /// Takes a member's word for the version that it knows.
    ///
    /// # Errors
    /// It is no member, or its version is below the cluster's.
    pub fn tell_version(&mut self, id: MemberId, version: u32) -> Result<(), MemberError> {
        if !self.members.contains_key(&id) {
            return Err(MemberError::NotFound);
        }
        if !self.versions.admits(version) {
            return Err(MemberError::TooOld);
        }
        self.versions.tell(id, version);
        self.versions.raise(self.members.keys().copied());
        Ok(())
    }

    /// The version that all members know; 0 before each has told its own.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.versions.of_cluster()
    }

    /// What a member has told.
    #[must_use]
    pub fn version_of(&self, id: MemberId) -> Option<u32> {
        self.versions.of(id)
    }

    /// What members have told.
    pub fn versions(&self) -> impl Iterator<Item = (MemberId, u32)> {
        self.versions.told()
    }

    /// Says where peers reach a member from now on.
    ///
    /// # Errors
    /// It is not there, or a URL is another's.
    pub fn update(&mut self, id: MemberId, peer_urls: Vec<String>) -> Result<(), MemberError> {
        if !self.members.contains_key(&id) {
            return Err(MemberError::NotFound);
        }
        self.check_urls(id, &peer_urls)?;
        if let Some(member) = self.members.get_mut(&id) {
            member.peer_ur_ls = peer_urls;
        }
        Ok(())
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// It is not there, or no learner.
    pub fn promote(&mut self, id: MemberId) -> Result<(), MemberError> {
        let member = self.members.get_mut(&id).ok_or(MemberError::NotFound)?;
        if !member.is_learner {
            return Err(MemberError::NotLearner);
        }
        member.is_learner = false;
        Ok(())
    }

    /// Every member, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// A member.
    #[must_use]
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether this was a member.
    #[must_use]
    pub fn was_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// Everybody who was removed.
    pub fn removed(&self) -> impl Iterator<Item = MemberId> {
        self.removed.iter().copied()
    }

    fn check_urls(&self, id: MemberId, peer_urls: &[String]) -> Result<(), MemberError> {
        let mut others = self.members.iter().filter(|(other, _)| **other != id);
        if others.any(|(_, member)| member.peer_ur_ls.iter().any(|url| peer_urls.contains(url))) {
            return Err(MemberError::UrlExists);
        }
        Ok(())
    }
}

/// A member's id, from what is its own in the cluster: its peer URLs and the cluster's token. Every member
/// computes the same without asking.
#[must_use]
pub fn member_id(peer_urls: &[String], token: &str) -> MemberId {
    let mut urls: Vec<_> = peer_urls.iter().map(String::as_bytes).collect();
    urls.sort_unstable();
    urls.push(token.as_bytes());
    MemberId(hash(urls))
}

/// A cluster's id, from the ids of its first members.
#[must_use]
pub fn cluster_id(members: &[MemberId]) -> ClusterId {
    let mut ids: Vec<_> = members.iter().map(|id| id.0.to_be_bytes()).collect();
    ids.sort_unstable();
    ClusterId(hash(ids.iter().map(<[u8; 8]>::as_slice)))
}

/// 64-bit FNV-1a over length-prefixed parts, with a final mix so that like URLs give unlike ids. It only
/// has to be stable and spread: ids are checked, not trusted. Never 0, which means "none" on the wire.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        (part.len() as u64).to_le_bytes().into_iter().chain(part.iter().copied()).for_each(&mut add);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ (hash >> 29)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, url: &str, is_learner: bool) -> Member {
        Member { id, peer_ur_ls: vec![url.to_owned()], is_learner, ..Member::default() }
    }

    #[test]
    fn an_id_or_a_url_is_never_given_twice() {
        let mut cluster = Cluster::default();
        cluster.found(MemberId(1), &["http://a:1".to_owned()]);
        assert_eq!(cluster.add(member(2, "http://a:1", false), 1), Err(MemberError::UrlExists));
        assert_eq!(cluster.add(member(2, "http://b:1", false), 1), Ok(()));
        assert_eq!(cluster.add(member(2, "http://c:1", false), 1), Err(MemberError::IdExists));
        assert_eq!(cluster.update(MemberId(2), vec!["http://a:1".to_owned()]), Err(MemberError::UrlExists));
        cluster.remove(MemberId(2)).unwrap();
        assert_eq!(cluster.add(member(2, "http://b:1", false), 1), Err(MemberError::IdExists));
        cluster.publish(member(2, "http://b:1", false));
        cluster.found(MemberId(2), &["http://b:1".to_owned()]);
        assert_eq!(cluster.members().count(), 1);
        assert!(cluster.was_removed(MemberId(2)));
    }

    #[test]
    fn the_last_voter_stays_and_only_learners_are_promoted() {
        let mut cluster = Cluster::default();
        cluster.found(MemberId(1), &["http://a:1".to_owned()]);
        cluster.add(member(2, "http://b:1", true), 1).unwrap();
        assert_eq!(cluster.add(member(3, "http://c:1", true), 1), Err(MemberError::TooManyLearners));
        assert_eq!(cluster.clone().add(member(3, "http://c:1", true), 2), Ok(()));
        assert_eq!(cluster.clone().add(member(3, "http://b:1", true), 2), Err(MemberError::UrlExists));
        assert_eq!(cluster.remove(MemberId(1)), Err(MemberError::LastVoter));
        assert_eq!(cluster.promote(MemberId(1)), Err(MemberError::NotLearner));
        assert_eq!(cluster.promote(MemberId(9)), Err(MemberError::NotFound));
        cluster.promote(MemberId(2)).unwrap();
        cluster.remove(MemberId(1)).unwrap();
        assert_eq!(cluster.remove(MemberId(1)), Err(MemberError::NotFound));
    }

    #[test]
    fn the_version_is_what_every_member_knows_and_never_goes_down() {
        let mut cluster = Cluster::restored([member(1, "http://a:1", false), member(2, "http://b:1", true)], []);
        let [a, b] = [MemberId(1), MemberId(2)];
        cluster.tell_version(a, 3).unwrap();
        assert_eq!(cluster.version(), 0, "one has not told its own");
        cluster.tell_version(b, 2).unwrap();
        assert_eq!(cluster.version(), 2);
        assert_eq!(cluster.tell_version(b, 1), Err(MemberError::TooOld));
        assert_eq!(cluster.version_of(b), Some(2));
        // One that has not started yet holds the version up, and lowers nothing.
        cluster.add(member(3, "http://c:1", false), 1).unwrap();
        cluster.tell_version(b, 3).unwrap();
        assert_eq!(cluster.version(), 2);
        cluster.remove(MemberId(3)).unwrap();
        assert_eq!(cluster.version(), 3, "those who are left know it");
        assert_eq!(cluster.tell_version(MemberId(3), 9), Err(MemberError::NotFound));
        let restored = Cluster::restored(cluster.members().cloned(), cluster.removed().map(|id| id.0));
        assert_eq!(restored.with_versions(cluster.versions(), cluster.version()), cluster);
    }

    #[test]
    fn ids_depend_on_urls_and_token_but_not_on_the_order_of_urls() {
        let urls = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let a = member_id(&urls(&["http://a:2380", "http://b:2380"]), "t");
        assert_eq!(a, member_id(&urls(&["http://b:2380", "http://a:2380"]), "t"));
        assert_ne!(a, member_id(&urls(&["http://a:2380", "http://b:2380"]), "u"));
        assert_ne!(a, member_id(&urls(&["http://a:2380"]), "t"));
        assert_ne!(cluster_id(&[a]).0, a.0);
    }
}
