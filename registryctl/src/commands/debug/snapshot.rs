//! `debug snapshot`: what a snapshot of the server's own holds.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use registry_server::apply::{SnapshotHead, StoredLease, read_leases};
use registry_server::auth::StoredAuth;
use registry_server::consensus::read_snapshot_meta;
use registry_server::mvcc::{Record, records};
use registry_server::storage::{SnapshotError, SnapshotReader, StdVfs, latest};
use serde_json::{Map, Value, json};

use super::bytes::{put, put_value};
use super::command::permission;
use super::wal::members;
use super::{damage, hex, line};
use crate::error::CtlError;

/// Prints it all; whether it is damaged. What follows the first damaged block is not read, as nothing says what it is.
pub(super) fn tell(path: &Path, values: bool) -> Result<bool, CtlError> {
    let file = newest(path)?;
    line(&json!({ "record": "snapshot", "file": file.display().to_string() }))?;
    match contents(&file, values) {
        Err(Failure::Damaged { offset, reason }) => {
            line(&damage(&file, offset, &reason))?;
            Ok(true)
        }
        Err(Failure::Unreadable(reason)) => {
            line(&json!({ "record": "unreadable", "file": file.display().to_string(), "reason": reason }))?;
            Ok(true)
        }
        Err(Failure::Ctl(error)) => Err(error),
        Ok(()) => Ok(false),
    }
}

/// What ends the reading.
enum Failure {
    Damaged {
        offset: u64,
        reason: String,
    },
    /// The bytes are as they were written, and are not understood.
    Unreadable(String),
    Ctl(CtlError),
}

impl From<CtlError> for Failure {
    fn from(error: CtlError) -> Self {
        Self::Ctl(error)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Corrupt { offset, reason, .. } => Self::Damaged { offset, reason: reason.to_owned() },
            SnapshotError::Io { path, source } => Self::Ctl(CtlError::io(path.display().to_string())(source)),
            error => Self::Unreadable(error.to_string()),
        }
    }
}

/// The file itself, or the newest of a directory's.
fn newest(path: &Path) -> Result<PathBuf, CtlError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = latest(&StdVfs, path)
        .map_err(|error| CtlError::io(path.display().to_string())(std::io::Error::other(error)))?;
    let none = || {
        let why = "there is no snapshot; a server takes its first when its log has grown to --snapshot-log-bytes, until then \
                   all is in the log: `registryctl debug wal DIR`";
        CtlError::Arguments(format!("{}: {why}", path.display()))
    };
    Ok(found.ok_or_else(none)?.path)
}

fn contents(file: &Path, values: bool) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(error.to_string());
    let mut reader = SnapshotReader::open(&StdVfs, file)?;
    let meta = read_snapshot_meta(reader.meta().clone()).map_err(|error| unreadable(&error))?;
    let last = meta.last.map(|id| json!({ "index": id.index, "term": id.term, "leader": hex(id.leader) }));
    line(&json!({ "record": "meta", "last": last, "members": members(&meta.members) }))?;
    let Some(first) = reader.next_block()? else { return Err(unreadable(&"it is empty")) };
    let head = SnapshotHead::read(first).map_err(|error| unreadable(&error))?;
    line(&of_head(&head))?;
    for _ in 0..head.lease_blocks {
        let Some(block) = reader.next_block()? else { return Err(unreadable(&"its leases are cut off")) };
        for lease in read_leases(block).map_err(|error| unreadable(&error))? {
            line(&of_lease(&lease))?;
        }
    }
    while let Some(block) = reader.next_block()? {
        of_block(&block, values)?;
    }
    Ok(())
}

fn of_block(block: &Bytes, values: bool) -> Result<(), Failure> {
    for record in records(block) {
        let record = record.map_err(|error| Failure::Unreadable(error.to_string()))?;
        line(&of_record(&record, values))?;
    }
    Ok(())
}

fn of_head(head: &SnapshotHead) -> Value {
    let member = |member: &registry_proto::etcdserverpb::Member| {
        json!({
            "id": hex(member.id), "name": member.name, "peer_urls": member.peer_ur_ls,
            "client_urls": member.client_ur_ls, "is_learner": member.is_learner,
        })
    };
    let alarm = |alarm: &registry_proto::etcdserverpb::AlarmMember| json!({ "member": hex(alarm.member_id), "alarm": alarm.alarm().as_str_name() });
    let versions: Map<_, _> = head.versions.iter().map(|told| (hex(told.id), told.version.into())).collect();
    json!({
        "record": "head",
        "revision": head.revision,
        "compacted": head.compacted,
        "last_grant": head.last_grant,
        "members": head.members.iter().map(member).collect::<Vec<_>>(),
        "removed": head.removed.iter().map(|id| hex(*id)).collect::<Vec<_>>(),
        "alarms": head.alarms.iter().map(alarm).collect::<Vec<_>>(),
        "cluster_version": head.cluster_version,
        "versions": versions,
        "auth": head.auth.as_ref().map(of_auth),
    })
}

/// Without the hashes of passwords.
fn of_auth(auth: &StoredAuth) -> Value {
    let user = |user: &registry_proto::authpb::User| {
        let mut object = Map::new();
        put(&mut object, "name", &user.name);
        object.insert("roles".to_owned(), user.roles.clone().into());
        let no_password = user.options.as_ref().is_some_and(|options| options.no_password);
        object.insert("no_password".to_owned(), no_password.into());
        Value::from(object)
    };
    let role = |role: &registry_proto::authpb::Role| {
        let mut object = Map::new();
        put(&mut object, "name", &role.name);
        object.insert("permissions".to_owned(), role.key_permission.iter().map(permission).collect());
        Value::from(object)
    };
    json!({
        "enabled": auth.enabled,
        "revision": auth.revision,
        "users": auth.users.iter().map(user).collect::<Vec<_>>(),
        "roles": auth.roles.iter().map(role).collect::<Vec<_>>(),
    })
}

fn of_lease(lease: &StoredLease) -> Value {
    json!({
        "record": "lease", "lease": format!("{:016x}", lease.id), "ttl_seconds": lease.ttl_seconds,
        "remaining_seconds": lease.remaining_seconds, "grant": lease.grant,
    })
}

fn of_record(record: &Record<'_>, values: bool) -> Value {
    let mut object = Map::new();
    object.insert("record".to_owned(), if record.is_tombstone() { "deleted" } else { "key" }.into());
    put(&mut object, "key", record.key);
    object.insert("mod_revision".to_owned(), record.mod_revision.0.into());
    if !record.is_tombstone() {
        object.insert("create_revision".to_owned(), record.create_revision.0.into());
        object.insert("version".to_owned(), record.version.into());
        put_value(&mut object, record.value, values);
    }
    if record.lease.0 != 0 {
        object.insert("lease".to_owned(), format!("{:016x}", record.lease.0).into());
    }
    Value::from(object)
}
