//! Whether the database has what an entry of etcd's log did, of those that are behind the index that the database tells.
//!
//! etcd 3.4 tells an index only together with changes of keys; what was done since then without any is in the database all
//! the same.

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use registry_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, CompactionRequest, LeaseGrantRequest,
    LeaseRevokeRequest,
};

use crate::apply::State;
use crate::auth::Auth;
use crate::types::LeaseId;

/// Fields of etcd's `InternalRaftRequest`.
mod field {
    pub(super) const ID: u32 = 1;
    /// Of the older API, or the method of a request that is of that API as a whole.
    pub(super) const OLDER: u32 = 2;
    pub(super) const RANGE: u32 = 3;
    pub(super) const PUT: u32 = 4;
    pub(super) const DELETE_RANGE: u32 = 5;
    pub(super) const TXN: u32 = 6;
    pub(super) const COMPACTION: u32 = 7;
    pub(super) const LEASE_GRANT: u32 = 8;
    pub(super) const LEASE_REVOKE: u32 = 9;
    pub(super) const ALARM: u32 = 10;
    pub(super) const LEASE_CHECKPOINT: u32 = 11;
    pub(super) const HEADER: u32 = 100;
    pub(super) const AUTH_FIRST: u32 = 1000;
    pub(super) const AUTH_ENABLE: u32 = 1000;
    pub(super) const AUTH_DISABLE: u32 = 1011;
    pub(super) const AUTHENTICATE: u32 = 1012;
    pub(super) const AUTH_STATUS: u32 = 1013;
    pub(super) const USER_ADD: u32 = 1100;
    pub(super) const USER_DELETE: u32 = 1101;
    pub(super) const USER_GET: u32 = 1102;
    pub(super) const USER_GRANT_ROLE: u32 = 1104;
    pub(super) const USER_REVOKE_ROLE: u32 = 1105;
    pub(super) const USER_LIST: u32 = 1106;
    pub(super) const ROLE_LIST: u32 = 1107;
    pub(super) const ROLE_ADD: u32 = 1200;
    pub(super) const ROLE_DELETE: u32 = 1201;
    pub(super) const ROLE_GET: u32 = 1202;
    pub(super) const ROLE_GRANT_PERMISSION: u32 = 1203;
    pub(super) const AUTH_LAST: u32 = 1299;
    /// The cluster's version, a member's name and URLs, and whether a downgrade is under way: all is told anew.
    pub(super) const CLUSTER_FIRST: u32 = 1300;
    pub(super) const CLUSTER_LAST: u32 = 1302;
}

/// What an entry did that the state does not show; none if it shows all of it, or it did nothing that lasts.
pub(super) fn missing(data: &Bytes, state: &State) -> Option<&'static str> {
    let mut rest = data.clone();
    while rest.has_remaining() {
        let Some((number, request)) = next_field(&mut rest) else { return Some("what cannot be read") };
        match number {
            // What the older API did is not in the database at all, and its fields are others.
            field::OLDER => return None,
            field::ID
            | field::HEADER
            | field::RANGE
            | field::LEASE_CHECKPOINT
            | field::AUTHENTICATE
            | field::AUTH_STATUS
            | field::USER_GET
            | field::USER_LIST
            | field::ROLE_LIST
            | field::ROLE_GET
            | field::CLUSTER_FIRST..=field::CLUSTER_LAST => {}
            _ => {
                if let Some(what) = missing_request(number, request, state) {
                    return Some(what);
                }
            }
        }
    }
    None
}

fn missing_request(number: u32, request: Bytes, state: &State) -> Option<&'static str> {
    let (what, is_shown) = match number {
        field::COMPACTION => {
            let compacted = state.store.read().compacted();
            ("a compaction", CompactionRequest::decode(request).is_ok_and(|it| it.revision <= compacted.0))
        }
        field::LEASE_GRANT => {
            let has = |id| state.leases.read().get(LeaseId(id)).is_some();
            ("the grant of a lease", LeaseGrantRequest::decode(request).is_ok_and(|it| has(it.id)))
        }
        field::LEASE_REVOKE => {
            let has = |id| state.leases.read().get(LeaseId(id)).is_some();
            ("the revocation of a lease", LeaseRevokeRequest::decode(request).is_ok_and(|it| !has(it.id)))
        }
        field::PUT => ("a put", false),
        field::DELETE_RANGE => ("a deletion", false),
        field::TXN => ("a transaction", false),
        field::ALARM => ("an alarm", false),
        field::AUTH_FIRST..=field::AUTH_LAST => {
            let is_shown = shows(&state.auth.read(), number, request).unwrap_or(false);
            ("a change of users or roles", is_shown)
        }
        _ => ("a request that is not known here", false),
    };
    (!is_shown).then_some(what)
}

/// Whether users and roles are as a change would leave them; none if the request cannot be read. A password is not to be seen.
fn shows(auth: &Auth, number: u32, request: Bytes) -> Option<bool> {
    let has_role = |user: &str, role: &String| auth.roles_of(user).is_some_and(|roles| roles.contains(role));
    Some(match number {
        field::AUTH_ENABLE => auth.is_enabled(),
        field::AUTH_DISABLE => !auth.is_enabled(),
        field::USER_ADD => auth.roles_of(&AuthUserAddRequest::decode(request).ok()?.name).is_some(),
        field::USER_DELETE => auth.roles_of(&AuthUserDeleteRequest::decode(request).ok()?.name).is_none(),
        field::USER_GRANT_ROLE => {
            let grant = AuthUserGrantRoleRequest::decode(request).ok()?;
            has_role(&grant.user, &grant.role)
        }
        field::USER_REVOKE_ROLE => {
            let revoked = AuthUserRevokeRoleRequest::decode(request).ok()?;
            !has_role(&revoked.name, &revoked.role)
        }
        field::ROLE_ADD => auth.permissions_of(&AuthRoleAddRequest::decode(request).ok()?.name).is_some(),
        field::ROLE_DELETE => auth.permissions_of(&AuthRoleDeleteRequest::decode(request).ok()?.role).is_none(),
        field::ROLE_GRANT_PERMISSION => {
            let grant = AuthRoleGrantPermissionRequest::decode(request).ok()?;
            auth.permissions_of(&grant.name)?.contains(&grant.perm?)
        }
        _ => false,
    })
}

/// The next field's number and, if it is a message, its bytes.
fn next_field(rest: &mut Bytes) -> Option<(u32, Bytes)> {
    let (number, wire_type) = decode_key(rest).ok()?;
    if wire_type != WireType::LengthDelimited {
        skip_field(wire_type, number, rest, DecodeContext::default()).ok()?;
        return Some((number, Bytes::new()));
    }
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    (length <= rest.len()).then(|| (number, rest.split_to(length)))
}

#[cfg(test)]
mod tests {
    use prost::encoding::{encode_key, encode_varint};
    use registry_proto::authpb::{Role, User};

    use super::*;
    use crate::auth::StoredAuth;

    fn entry(number: u32, request: &impl Message) -> Bytes {
        let mut data = Vec::new();
        encode_key(field::ID, WireType::Varint, &mut data);
        encode_varint(u64::MAX, &mut data);
        registry_proto::stored::put_record(number, &request.encode_to_vec(), &mut data);
        data.into()
    }

    #[test]
    fn what_the_state_shows_and_what_does_not_last_is_not_missing() {
        let state = State::default();
        state.leases.write().grant(LeaseId(7), 60).unwrap();
        let grant = |id| entry(field::LEASE_GRANT, &LeaseGrantRequest { id, ttl: 60 });
        let revoke = |id| entry(field::LEASE_REVOKE, &LeaseRevokeRequest { id });
        assert_eq!(missing(&grant(7), &state), None);
        assert_eq!(missing(&grant(8), &state), Some("the grant of a lease"));
        assert_eq!(missing(&revoke(8), &state), None);
        assert_eq!(missing(&revoke(7), &state), Some("the revocation of a lease"));
        let compaction = entry(field::COMPACTION, &CompactionRequest { revision: 3, physical: true });
        assert_eq!(missing(&compaction, &state), Some("a compaction"));
        for harmless in [field::RANGE, field::AUTHENTICATE, field::CLUSTER_FIRST, field::CLUSTER_LAST] {
            assert_eq!(missing(&entry(harmless, &CompactionRequest::default()), &state), None);
        }
        // As etcd 3.4 tells a member's name: method, path and value are fields 2 to 4.
        let mut older = Vec::new();
        for (number, text) in [(2, "PUT"), (3, "/0/members/1/attributes"), (4, "{}")] {
            registry_proto::stored::put_record(number, text.as_bytes(), &mut older);
        }
        assert_eq!(missing(&older.into(), &state), None);
    }

    #[test]
    fn a_change_of_users_is_missing_until_they_are_as_it_would_leave_them() {
        let state = State::default();
        let user = AuthUserAddRequest { name: "anna".to_owned(), ..AuthUserAddRequest::default() };
        let grant = AuthUserGrantRoleRequest { user: "anna".to_owned(), role: "app".to_owned() };
        let role = AuthRoleAddRequest { name: "app".to_owned() };
        let enable = registry_proto::etcdserverpb::AuthEnableRequest {};
        let said = |state: &State| {
            let of = |data: Bytes| missing(&data, state).is_none();
            [
                of(entry(field::USER_ADD, &user)),
                of(entry(field::USER_GRANT_ROLE, &grant)),
                of(entry(field::ROLE_ADD, &role)),
                of(entry(field::AUTH_ENABLE, &enable)),
                of(entry(1103, &user)),
            ]
        };
        assert_eq!(said(&state), [false; 5]);
        let stored = StoredAuth {
            enabled: true,
            revision: 1,
            users: vec![User { name: "anna".into(), roles: vec!["app".to_owned()], ..User::default() }],
            roles: vec![Role { name: "app".into(), ..Role::default() }],
        };
        *state.auth.write() = Auth::restore(stored).unwrap();
        assert_eq!(said(&state), [true, true, true, true, false], "a password that changed is not to be seen");
    }

    #[test]
    fn writes_and_whatever_is_not_known_are_missing() {
        let state = State::default();
        let of = |number| missing(&entry(number, &CompactionRequest::default()), &state);
        assert_eq!(of(field::PUT), Some("a put"));
        assert_eq!(of(field::TXN), Some("a transaction"));
        assert_eq!(of(1103), Some("a change of users or roles"));
        assert_eq!(of(77), Some("a request that is not known here"));
        for end in [&b"\xff"[..], b"\x22\x05x", b"\x07"] {
            assert_eq!(missing(&Bytes::copy_from_slice(end), &state), Some("what cannot be read"), "{end:?}");
        }
    }
}
