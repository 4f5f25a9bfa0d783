//! The small buckets: pure functions from state to entries, in the encodings of `registry_etcd_files::schema`.

use prost::Message;
use registry_etcd_files::schema::{REMOVED, RevisionKey, conf_state, key, member_key, member_value};
use registry_proto::etcdserverpb::{AlarmMember, Member};

use super::super::version::{CLUSTER_VERSION, STORAGE_VERSION};
use super::contents::Applied;
use crate::auth::StoredAuth;
use crate::types::{MemberId, Revision};

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// The bucket `alarm`: each is a key without a value.
pub(super) fn alarms(raised: &[AlarmMember]) -> Vec<Entry> {
    sorted(raised.iter().map(|alarm| (alarm.encode_to_vec(), Vec::new())))
}

/// The buckets `auth`, `authRoles` and `authUsers`, in this order.
pub(super) fn authentication(stored: &StoredAuth) -> [Vec<Entry>; 3] {
    let auth = [
        (key::AUTH_ENABLED.into(), vec![u8::from(stored.enabled)]),
        (key::AUTH_REVISION.into(), stored.revision.to_be_bytes().to_vec()),
    ];
    let roles = stored.roles.iter().map(|role| (role.name.to_vec(), role.encode_to_vec()));
    let users = stored.users.iter().map(|user| (user.name.to_vec(), user.encode_to_vec()));
    [auth.to_vec(), sorted(roles), sorted(users)]
}

/// The bucket `cluster`: the version that all members speak.
pub(super) fn versions() -> Vec<Entry> {
    vec![(key::CLUSTER_VERSION.into(), CLUSTER_VERSION.into())]
}

/// The bucket `members`.
pub(super) fn members<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<Entry> {
    sorted(members.map(|member| (member_key(member.id), member_value(member))))
}

/// The bucket `members_removed`.
pub(super) fn removed(members: impl Iterator<Item = MemberId>) -> Vec<Entry> {
    sorted(members.map(|id| (member_key(id.0), REMOVED.to_vec())))
}

/// The bucket `meta`: where Raft and compaction stand.
pub(super) fn meta<'a>(
    applied: Applied,
    compacted: Option<Revision>,
    members: impl Iterator<Item = &'a Member>,
) -> Vec<Entry> {
    let (learners, voters): (Vec<&Member>, _) = members.partition(|member| member.is_learner);
    let ids = |members: Vec<&Member>| members.iter().map(|member| member.id).collect::<Vec<_>>();
    let mut entries: Vec<Entry> = vec![
        (key::CONF_STATE.into(), conf_state(&ids(voters), &ids(learners))),
        (key::CONSISTENT_INDEX.into(), applied.index.to_be_bytes().to_vec()),
        (key::STORAGE_VERSION.into(), STORAGE_VERSION.into()),
        (key::TERM.into(), applied.term.to_be_bytes().to_vec()),
    ];
    if let Some(compacted) = compacted {
        let at = RevisionKey { main: compacted.0, sub: 0, is_tombstone: false }.encode();
        for name in [key::FINISHED_COMPACTION, key::SCHEDULED_COMPACTION] {
            entries.push((name.into(), at.as_ref().to_vec()));
        }
    }
    sorted(entries)
}

fn sorted(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort();
    entries
}
