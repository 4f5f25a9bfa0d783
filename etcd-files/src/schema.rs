//! What etcd keeps in which bucket, and how it writes it: the names, and pure functions between values and bytes.
//!
//! The names and encodings are those of etcd 3.7's `server/storage/schema`. Numbers in keys are big-endian, so that
//! the order of keys is theirs; what was JSON there is JSON here.

use prost::Message;
use registry_proto::etcdserverpb::Member;
use serde::Deserialize;
use serde_json::json;

/// The buckets' names, in their order.
pub mod bucket {
    /// Alarms: each is a key without a value.
    pub const ALARM: &str = "alarm";
    /// Whether authentication is enabled, and its revision.
    pub const AUTH: &str = "auth";
    /// Roles by name.
    pub const AUTH_ROLES: &str = "authRoles";
    /// Users by name.
    pub const AUTH_USERS: &str = "authUsers";
    /// The version that all members speak.
    pub const CLUSTER: &str = "cluster";
    /// Changes of keys by their revision.
    pub const KEY: &str = "key";
    /// Leases by id.
    pub const LEASE: &str = "lease";
    /// Members by id.
    pub const MEMBERS: &str = "members";
    /// Ids of members that were removed.
    pub const MEMBERS_REMOVED: &str = "members_removed";
    /// Where Raft and compaction stand.
    pub const META: &str = "meta";
}

/// Keys of the bucket [`bucket::META`], and of [`bucket::CLUSTER`] and [`bucket::AUTH`].
pub mod key {
    /// Raft's members, as JSON.
    pub const CONF_STATE: &str = "confState";
    /// The index of the last entry that was applied, 8 bytes.
    pub const CONSISTENT_INDEX: &str = "consistent_index";
    /// The term of that entry, 8 bytes.
    pub const TERM: &str = "term";
    /// The version of this schema.
    pub const STORAGE_VERSION: &str = "storageVersion";
    /// The revision up to which history is gone.
    pub const FINISHED_COMPACTION: &str = "finishedCompactRev";
    /// The revision up to which history is to go, and is not shown any more.
    pub const SCHEDULED_COMPACTION: &str = "scheduledCompactRev";
    /// In the bucket `cluster`.
    pub const CLUSTER_VERSION: &str = "clusterVersion";
    /// In the bucket `auth`: one byte.
    pub const AUTH_ENABLED: &str = "authEnabled";
    /// In the bucket `auth`: 8 bytes.
    pub const AUTH_REVISION: &str = "authRevision";
}

/// The value of a member's key in [`bucket::MEMBERS_REMOVED`].
pub const REMOVED: &[u8] = b"removed";

/// What etcd writes behind the revision of a deletion.
const TOMBSTONE_MARK: u8 = b't';
const REVISION_BYTES: usize = 17;

/// The key of a change in the bucket [`bucket::KEY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionKey {
    /// The store's revision.
    pub main: i64,
    /// Counts the changes of one revision.
    pub sub: i64,
    /// It is a deletion.
    pub is_tombstone: bool,
}

impl RevisionKey {
    /// As etcd writes it: 17 or 18 bytes.
    #[must_use]
    pub fn encode(self) -> EncodedRevision {
        let mut bytes = [0; REVISION_BYTES + 1];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[8] = b'_';
        bytes[9..REVISION_BYTES].copy_from_slice(&self.sub.to_be_bytes());
        bytes[REVISION_BYTES] = TOMBSTONE_MARK;
        EncodedRevision { bytes, len: REVISION_BYTES + usize::from(self.is_tombstone) }
    }

    /// None for what is no such key.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let is_tombstone = match bytes.len() {
            REVISION_BYTES => false,
            18 if bytes[REVISION_BYTES] == TOMBSTONE_MARK => true,
            _ => return None,
        };
        let main = i64::from_be_bytes(bytes[..8].try_into().ok()?);
        let sub = i64::from_be_bytes(bytes[9..REVISION_BYTES].try_into().ok()?);
        (bytes[8] == b'_' && main >= 0 && sub >= 0).then_some(Self { main, sub, is_tombstone })
    }
}

/// The bytes of a [`RevisionKey`].
#[derive(Debug, Clone, Copy)]
pub struct EncodedRevision {
    bytes: [u8; REVISION_BYTES + 1],
    len: usize,
}

impl AsRef<[u8]> for EncodedRevision {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A lease without its keys, which name it themselves: a value of the bucket [`bucket::LEASE`], whose key is
/// [`Lease::key`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Lease {
    /// Its id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// For so many seconds it was granted.
    #[prost(int64, tag = "2")]
    pub ttl_seconds: i64,
    /// So many are left, as a checkpoint said; 0 for the whole TTL.
    #[prost(int64, tag = "3")]
    pub remaining_seconds: i64,
}

impl Lease {
    /// Its id, big-endian: unsigned ids are in order.
    #[must_use]
    pub const fn key(&self) -> [u8; 8] {
        self.id.to_be_bytes()
    }
}

/// The key of a member in [`bucket::MEMBERS`] and [`bucket::MEMBERS_REMOVED`].
#[must_use]
pub fn member_key(id: u64) -> Vec<u8> {
    format!("{id:x}").into_bytes()
}

/// The id that such a key says.
#[must_use]
pub fn parse_member_key(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok()
}

/// A member in [`bucket::MEMBERS`]. What is empty is left out, but for the peers' URLs.
#[must_use]
pub fn member_value(member: &Member) -> Vec<u8> {
    let mut value = json!({ "id": member.id, "peerURLs": member.peer_ur_ls });
    if member.is_learner {
        value["isLearner"] = true.into();
    }
    if !member.name.is_empty() {
        value["name"] = member.name.as_str().into();
    }
    if !member.client_ur_ls.is_empty() {
        value["clientURLs"] = member.client_ur_ls.clone().into();
    }
    value.to_string().into_bytes()
}

/// What Raft is to know of a member, as the older store of etcd 3.5 and before keeps it.
#[must_use]
pub fn raft_attributes(member: &Member) -> String {
    let mut value = json!({ "peerURLs": member.peer_ur_ls });
    if member.is_learner {
        value["isLearner"] = true.into();
    }
    value.to_string()
}

/// The member that such a value says.
///
/// # Errors
/// JSON's.
pub fn parse_member(value: &[u8]) -> Result<Member, serde_json::Error> {
    #[derive(Deserialize)]
    struct Stored {
        id: u64,
        #[serde(rename = "peerURLs", default)]
        peer_urls: Option<Vec<String>>,
        #[serde(rename = "isLearner", default)]
        is_learner: bool,
        #[serde(default)]
        name: String,
        #[serde(rename = "clientURLs", default)]
        client_urls: Option<Vec<String>>,
    }
    let Stored { id, peer_urls, is_learner, name, client_urls } = serde_json::from_slice(value)?;
    let (peer_ur_ls, client_ur_ls) = (peer_urls.unwrap_or_default(), client_urls.unwrap_or_default());
    Ok(Member { id, name, peer_ur_ls, client_ur_ls, is_learner })
}

/// The value of [`key::CONF_STATE`]: who votes in Raft, and who only learns.
#[must_use]
pub fn conf_state(voters: &[u64], learners: &[u64]) -> Vec<u8> {
    let mut members = json!({ "voters": voters, "auto_leave": false });
    if !learners.is_empty() {
        members["learners"] = learners.into();
    }
    members.to_string().into_bytes()
}

/// The value of a deletion: what is left of the key-value is its key.
#[must_use]
pub fn tombstone(key: &[u8]) -> Vec<u8> {
    registry_proto::mvccpb::KeyValue { key: bytes::Bytes::copy_from_slice(key), ..Default::default() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_come_back_and_nothing_else_is_one() {
        for is_tombstone in [false, true] {
            let key = RevisionKey { main: 258, sub: 3, is_tombstone };
            assert_eq!(RevisionKey::parse(key.encode().as_ref()), Some(key));
        }
        let good = RevisionKey { main: 1, sub: 0, is_tombstone: true }.encode();
        for bad in [&good.as_ref()[..16], &[good.as_ref(), b"t"].concat(), &[&good.as_ref()[..17], b"x"].concat(), b""]
        {
            assert_eq!(RevisionKey::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn members_come_back() {
        let member = Member {
            id: u64::MAX,
            name: "a".to_owned(),
            peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()],
            client_ur_ls: vec!["http://127.0.0.1:2".to_owned()],
            is_learner: true,
        };
        assert_eq!(parse_member(&member_value(&member)).unwrap(), member);
        let bare = Member { id: 5, ..Member::default() };
        assert_eq!(parse_member(&member_value(&bare)).unwrap(), bare);
        // As Go writes what it was not given.
        assert_eq!(parse_member(br#"{"id":5,"peerURLs":null}"#).unwrap(), bare);
        assert_eq!(parse_member_key(&member_key(0xab)), Some(0xab));
        assert!(parse_member(b"{").is_err() && parse_member_key(b"xyz").is_none());
    }
}
