//! The buckets but for the keys': what each entry of them says.

use prost::Message;
use registry_etcd_files::bbolt::Image;
use registry_etcd_files::schema::{self, bucket, key};
use registry_proto::authpb;
use registry_proto::etcdserverpb::{AlarmMember, AlarmType, Member};

use super::super::alarms::Alarms;
use super::{ImportError, each, revision_of, whole};
use crate::auth::{Auth, StoredAuth};
use crate::lease::Leases;
use crate::mvcc::NEVER_COMPACTED;
use crate::types::{LeaseId, MemberId, Revision};

/// Where Raft and compaction stand.
pub(super) struct Meta {
    /// History is gone up to here.
    pub(super) finished: Revision,
    /// And is not to be shown up to here, which may be above that.
    pub(super) scheduled: Revision,
    pub(super) applied_index: u64,
    pub(super) applied_term: u64,
}

pub(super) fn meta(image: &Image) -> Result<Meta, ImportError> {
    let mut meta = Meta { finished: NEVER_COMPACTED, scheduled: NEVER_COMPACTED, applied_index: 0, applied_term: 0 };
    each(image, bucket::META, |name, value| {
        match std::str::from_utf8(name) {
            Ok(key::FINISHED_COMPACTION) => meta.finished = revision_of(value)?,
            Ok(key::SCHEDULED_COMPACTION) => meta.scheduled = revision_of(value)?,
            Ok(key::CONSISTENT_INDEX) => meta.applied_index = number(value)?,
            Ok(key::TERM) => meta.applied_term = number(value)?,
            // Of Raft's members the log says more.
            _ => {}
        }
        Ok(())
    })?;
    Ok(meta)
}

/// The leases, without their keys. They are counted in the order of their ids, which is the same on each member.
pub(super) fn leases(image: &Image) -> Result<Leases, ImportError> {
    let mut leases = Leases::default();
    each(image, bucket::LEASE, |key, value| {
        let lease = schema::Lease::decode(value).map_err(|error| format!("it is no lease: {error}"))?;
        if lease.key() != key || lease.id == 0 {
            return Err("it is a lease of another id".to_owned());
        }
        // One that has no time at all would have ended with its grant.
        let granted = leases.grant(LeaseId(lease.id), lease.ttl_seconds.max(1)).map_err(|error| error.to_string())?;
        leases.checkpoint(granted, lease.remaining_seconds);
        Ok(())
    })?;
    Ok(leases)
}

pub(super) fn alarms(image: &Image) -> Result<Alarms, ImportError> {
    let mut raised = Vec::new();
    each(image, bucket::ALARM, |key, _| {
        let alarm = AlarmMember::decode(key).map_err(|error| format!("it is no alarm: {error}"))?;
        if AlarmType::try_from(alarm.alarm).is_err() {
            return Err(format!("this server does not know alarms of kind {}: use a newer one", alarm.alarm));
        }
        raised.push(alarm);
        Ok(())
    })?;
    Ok(Alarms::restore(&raised))
}

pub(super) fn auth(image: &Image) -> Result<Auth, ImportError> {
    // Where nothing is said, etcd begins with 1, too.
    let mut stored = StoredAuth { revision: 1, ..StoredAuth::default() };
    each(image, bucket::AUTH, |name, value| {
        match std::str::from_utf8(name) {
            Ok(key::AUTH_ENABLED) => stored.enabled = value == [1],
            Ok(key::AUTH_REVISION) => stored.revision = number(value)?.max(1),
            _ => {}
        }
        Ok(())
    })?;
    each(image, bucket::AUTH_USERS, |name, value| {
        let user = authpb::User::decode(value).map_err(|error| format!("it is no user: {error}"))?;
        same_name(name, &user.name)?;
        stored.users.push(user);
        Ok(())
    })?;
    each(image, bucket::AUTH_ROLES, |name, value| {
        let role = authpb::Role::decode(value).map_err(|error| format!("it is no role: {error}"))?;
        same_name(name, &role.name)?;
        stored.roles.push(role);
        Ok(())
    })?;
    Auth::restore(stored).ok_or_else(|| whole(image, &"the name or the password of a user or role is no text"))
}

/// Who is a member, and who was one.
pub(super) fn members(image: &Image) -> Result<(Vec<Member>, Vec<MemberId>), ImportError> {
    let (mut members, mut removed) = (Vec::new(), Vec::new());
    each(image, bucket::MEMBERS, |key, value| {
        let member = schema::parse_member(value).map_err(|error| format!("it is no member: {error}"))?;
        if schema::parse_member_key(key) != Some(member.id) {
            return Err("it is a member of another id".to_owned());
        }
        members.push(member);
        Ok(())
    })?;
    each(image, bucket::MEMBERS_REMOVED, |key, _| {
        removed.push(MemberId(schema::parse_member_key(key).ok_or("it is no member's id")?));
        Ok(())
    })?;
    Ok((members, removed))
}

fn same_name(key: &[u8], name: &[u8]) -> Result<(), String> {
    if key == name { Ok(()) } else { Err("it has another name than its key".to_owned()) }
}

fn number(value: &[u8]) -> Result<u64, String> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| "it is no number of 8 bytes".to_owned())
}
