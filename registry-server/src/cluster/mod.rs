//! The members of the cluster as clients see them: replicated names and URLs, and how ids come about.

use std::collections::BTreeMap;

use registry_proto::etcdserverpb::Member;

use crate::types::{ClusterId, MemberId};

/// The members by id. What a member tells of itself replaces what was known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cluster {
    members: BTreeMap<MemberId, Member>,
}

impl Cluster {
    /// Takes a member's own word for its name and URLs.
    pub fn publish(&mut self, member: Member) {
        self.members.insert(MemberId(member.id), member);
    }

    /// Every member, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
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
