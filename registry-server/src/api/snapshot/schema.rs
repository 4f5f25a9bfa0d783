//! What etcd keeps in which bucket, and how it writes it: the names, and pure functions from state to entries.
//!
//! The names and encodings are those of etcd 3.7's `server/storage/schema`. Numbers in keys are big-endian, so that
//! the order of keys is theirs; what was JSON there is JSON here.

use prost::Message;
use registry_proto::etcdserverpb::{AlarmMember, Member};
use serde_json::json;

use super::super::version::{CLUSTER_VERSION, STORAGE_VERSION};
use super::contents::{Applied, StoredLease};
use crate::auth::StoredAuth;
use crate::types::{MemberId, Revision};

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// An entry of the bucket `lease`.
#[derive(Clone, PartialEq, Message)]
struct LeaseEntry {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl_seconds: i64,
    /// 0 for the whole TTL.
    #[prost(int64, tag = "3")]
    remaining_seconds: i64,
}

/// What etcd writes behind the revision of a deletion.
const TOMBSTONE_MARK: u8 = b't';
const REVISION_BYTES: usize = 17;

/// The key of a change in the bucket `key`.
pub(super) struct RevisionKey {
    bytes: [u8; REVISION_BYTES + 1],
    len: usize,
}

impl RevisionKey {
    /// `sub` counts the changes of one revision.
    pub(super) fn new(main: Revision, sub: i64, is_tombstone: bool) -> Self {
        let mut bytes = [0; REVISION_BYTES + 1];
        bytes[..8].copy_from_slice(&main.0.to_be_bytes());
        bytes[8] = b'_';
        bytes[9..REVISION_BYTES].copy_from_slice(&sub.to_be_bytes());
        bytes[REVISION_BYTES] = TOMBSTONE_MARK;
        Self { bytes, len: REVISION_BYTES + usize::from(is_tombstone) }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The bucket `alarm`: each is a key without a value.
pub(super) fn alarms(raised: &[AlarmMember]) -> Vec<Entry> {
    sorted(raised.iter().map(|alarm| (alarm.encode_to_vec(), Vec::new())))
}

/// The buckets `auth`, `authRoles` and `authUsers`, in this order.
pub(super) fn authentication(stored: &StoredAuth) -> [Vec<Entry>; 3] {
    let auth = [
        (b"authEnabled".to_vec(), vec![u8::from(stored.enabled)]),
        (b"authRevision".to_vec(), stored.revision.to_be_bytes().to_vec()),
    ];
    let roles = stored.roles.iter().map(|role| (role.name.to_vec(), role.encode_to_vec()));
    let users = stored.users.iter().map(|user| (user.name.to_vec(), user.encode_to_vec()));
    [auth.to_vec(), sorted(roles), sorted(users)]
}

/// The bucket `cluster`: the version that all members speak.
pub(super) fn versions() -> Vec<Entry> {
    vec![(b"clusterVersion".to_vec(), CLUSTER_VERSION.into())]
}

/// The bucket `members`.
pub(super) fn members<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<Entry> {
    sorted(members.map(|member| (member_key(MemberId(member.id)), member_value(member))))
}

/// The bucket `members_removed`.
pub(super) fn removed(members: impl Iterator<Item = MemberId>) -> Vec<Entry> {
    sorted(members.map(|id| (member_key(id), b"removed".to_vec())))
}

fn member_key(id: MemberId) -> Vec<u8> {
    format!("{:x}", id.0).into_bytes()
}

/// What is empty is left out, but for the peers' URLs.
fn member_value(member: &Member) -> Vec<u8> {
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

/// The bucket `meta`: where Raft and compaction stand.
pub(super) fn meta<'a>(
    applied: Applied,
    compacted: Option<Revision>,
    members: impl Iterator<Item = &'a Member>,
) -> Vec<Entry> {
    let (learners, voters): (Vec<&Member>, _) = members.partition(|member| member.is_learner);
    let ids = |members: Vec<&Member>| members.iter().map(|member| member.id).collect::<Vec<_>>();
    let mut members = json!({ "voters": ids(voters), "auto_leave": false });
    if !learners.is_empty() {
        members["learners"] = ids(learners).into();
    }
    let mut entries = vec![
        (b"confState".to_vec(), members.to_string().into_bytes()),
        (b"consistent_index".to_vec(), applied.index.to_be_bytes().to_vec()),
        (b"storageVersion".to_vec(), STORAGE_VERSION.into()),
        (b"term".to_vec(), applied.term.to_be_bytes().to_vec()),
    ];
    if let Some(compacted) = compacted {
        let at = RevisionKey::new(compacted, 0, false);
        for name in ["finishedCompactRev", "scheduledCompactRev"] {
            entries.push((name.into(), at.as_bytes().to_vec()));
        }
    }
    sorted(entries)
}

/// Key and value of a lease.
pub(super) fn lease(lease: StoredLease) -> ([u8; 8], Vec<u8>) {
    let StoredLease { id, ttl_seconds, remaining_seconds } = lease;
    (id.0.to_be_bytes(), LeaseEntry { id: id.0, ttl_seconds, remaining_seconds }.encode_to_vec())
}

/// The value of a deletion: what is left of the key-value is its key.
pub(super) fn tombstone(key: &[u8]) -> Vec<u8> {
    registry_proto::mvccpb::KeyValue { key: bytes::Bytes::copy_from_slice(key), ..Default::default() }.encode_to_vec()
}

fn sorted(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort();
    entries
}
