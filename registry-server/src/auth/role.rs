//! A role: permissions by range, and the keys that follow from them.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::authpb::Permission;
use registry_proto::authpb::permission::Type;

use super::spans::Spans;

/// What whoever has the role may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Role {
    permissions: BTreeMap<(Bytes, Bytes), Type>,
    /// What may be read and written, from the permissions.
    read: Spans,
    write: Spans,
}

impl Role {
    pub(super) fn new(permissions: impl IntoIterator<Item = Permission>) -> Self {
        let mut role = Self::default();
        for permission in permissions {
            let kind = permission.perm_type();
            role.permissions.insert((permission.key, permission.range_end), kind);
        }
        role.follow();
        role
    }

    /// Gives a permission; one for the same range is replaced.
    pub(super) fn grant(&mut self, permission: &Permission) {
        let range = (permission.key.clone(), permission.range_end.clone());
        self.permissions.insert(range, permission.perm_type());
        self.follow();
    }

    /// Takes a permission away; false if there is none for that range.
    pub(super) fn revoke(&mut self, key: &Bytes, range_end: &Bytes) -> bool {
        let was_there = self.permissions.remove(&(key.clone(), range_end.clone())).is_some();
        self.follow();
        was_there
    }

    pub(super) fn read(&self) -> &Spans {
        &self.read
    }

    pub(super) fn write(&self) -> &Spans {
        &self.write
    }

    /// By key and end.
    pub(super) fn permissions(&self) -> impl Iterator<Item = Permission> {
        self.permissions.iter().map(|((key, range_end), kind)| Permission {
            perm_type: (*kind).into(),
            key: key.clone(),
            range_end: range_end.clone(),
        })
    }

    fn follow(&mut self) {
        let of = |kind: Type| {
            let permits = move |(_, permission): &(_, &Type)| **permission == kind || **permission == Type::Readwrite;
            Spans::of(self.permissions.iter().filter(permits).map(|((key, range_end), _)| (key, range_end)))
        };
        (self.read, self.write) = (of(Type::Read), of(Type::Write));
    }
}
