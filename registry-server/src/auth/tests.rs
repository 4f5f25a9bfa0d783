//! Users and roles changed one by one, and what follows from them.

use registry_proto::authpb::permission::Type;
use registry_proto::authpb::{Permission, UserAddOptions};
use registry_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthUserDeleteRequest,
};

use super::*;
use crate::types::Author;

fn change(auth: &mut Auth, action: AuthAction) -> Result<(), AuthError> {
    let before = auth.clone();
    let result = auth.change(AuthChange { action: Some(action) });
    assert!(result.is_ok() || *auth == before, "a change that is refused changes nothing");
    result
}

fn add_user(name: &str) -> AuthAction {
    let options = Some(UserAddOptions { no_password: false });
    let (name, hashed_password) = (name.to_owned(), "hash".to_owned());
    AuthAction::UserAdd(AuthUserAddRequest { name, hashed_password, options, ..AuthUserAddRequest::default() })
}

fn add_role(name: &str) -> AuthAction {
    AuthAction::RoleAdd(AuthRoleAddRequest { name: name.to_owned() })
}

fn grant_role(user: &str, role: &str) -> AuthAction {
    AuthAction::UserGrantRole(AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() })
}

fn grant(role: &str, kind: Type, key: &'static str, range_end: &'static str) -> AuthAction {
    let perm = Some(Permission { perm_type: kind.into(), key: key.into(), range_end: range_end.into() });
    AuthAction::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: role.to_owned(), perm })
}

fn enable() -> AuthAction {
    AuthAction::Enable(AuthEnableRequest {})
}

/// root, a writer of `w/`, a reader of `r/`, and one without roles.
fn enabled() -> Auth {
    let mut auth = Auth::default();
    for action in [
        add_user("root"),
        add_role("root"),
        grant_role("root", "root"),
        add_user("anna"),
        add_role("writer"),
        grant("writer", Type::Readwrite, "w/", "w0"),
        grant_role("anna", "writer"),
        add_role("reader"),
        grant("reader", Type::Read, "r/", "r0"),
        grant_role("anna", "reader"),
        add_user("nobody"),
        enable(),
    ] {
        change(&mut auth, action).unwrap();
    }
    auth
}

fn user(auth: &Auth, name: &str) -> Author {
    Author::User { name: name.into(), revision: auth.revision() }
}

#[test]
fn enabling_needs_root_with_its_role() {
    let mut auth = Auth::default();
    assert_eq!(change(&mut auth, enable()), Err(AuthError::RootUserNotExist));
    change(&mut auth, add_user("root")).unwrap();
    assert_eq!(change(&mut auth, enable()), Err(AuthError::RootRoleNotExist));
    change(&mut auth, grant_role("root", "root")).unwrap();
    let revision = auth.revision();
    change(&mut auth, enable()).unwrap();
    assert!(auth.is_enabled());
    assert_eq!(auth.revision(), revision);
}

#[test]
fn root_keeps_its_role_while_it_counts() {
    let mut auth = enabled();
    let delete = AuthAction::UserDelete(AuthUserDeleteRequest { name: "root".into() });
    let revoke = AuthAction::UserRevokeRole(AuthUserRevokeRoleRequest { name: "root".into(), role: "root".into() });
    let forget = AuthAction::RoleDelete(AuthRoleDeleteRequest { role: "root".into() });
    for action in [&delete, &revoke, &forget] {
        assert_eq!(change(&mut auth, action.clone()), Err(AuthError::InvalidManagement), "{action:?}");
    }
    change(&mut auth, AuthAction::Disable(AuthDisableRequest {})).unwrap();
    for action in [revoke, forget, delete] {
        change(&mut auth, action).unwrap();
    }
}

#[test]
fn who_may_do_what() {
    let auth = enabled();
    let (root, anna, nobody) = (user(&auth, "root"), user(&auth, "anna"), user(&auth, "nobody"));
    assert!(auth.rights(&root).unwrap().may_all() && auth.rights(&Author::Member).unwrap().may_all());
    let rights = auth.rights(&anna).unwrap();
    assert_eq!(rights.write(b"w/", b"w0").and(rights.read(b"w/1", b"")).and(rights.read(b"r/", b"r0")), Ok(()));
    for refused in [rights.write(b"r/1", b""), rights.read(b"w/", b"\0"), rights.read(b"x", b"")] {
        assert_eq!(refused, Err(AuthError::PermissionDenied));
    }
    let rights = auth.rights(&nobody).unwrap();
    assert_eq!(rights.read(b"r/1", b""), Err(AuthError::PermissionDenied));
    assert_eq!(auth.rights(&Author::Nobody).unwrap_err(), AuthError::UserEmpty);
    assert_eq!(auth.rights(&user(&auth, "gone")).unwrap_err(), AuthError::PermissionDenied);
    let old = Author::User { name: "root".into(), revision: auth.revision() - 1 };
    assert_eq!(auth.rights(&old).unwrap_err(), AuthError::OldRevision);
    assert_eq!(auth.check_admin(&root).and(auth.check_admin(&Author::Member)), Ok(()));
    assert_eq!(auth.check_admin(&anna), Err(AuthError::PermissionDenied));
    assert_eq!(auth.check_admin(&user(&auth, "gone")), Err(AuthError::UserNotFound));
    assert_eq!(auth.check_admin(&Author::Nobody), Err(AuthError::UserEmpty));
}

#[test]
fn users_see_themselves_and_their_roles() {
    let auth = enabled();
    let anna = user(&auth, "anna");
    assert_eq!(auth.check_sees_user(&anna, "anna").and(auth.check_sees_role(&anna, "reader")), Ok(()));
    assert_eq!(auth.check_sees_user(&anna, "root"), Err(AuthError::PermissionDenied));
    assert_eq!(auth.check_sees_role(&anna, "root"), Err(AuthError::PermissionDenied));
    assert_eq!(auth.check_sees_user(&user(&auth, "root"), "anna"), Ok(()));
}

#[test]
fn a_role_that_goes_goes_from_its_users_and_a_permission_at_once() {
    let mut auth = enabled();
    let anna = user(&auth, "anna");
    change(&mut auth, AuthAction::RoleDelete(AuthRoleDeleteRequest { role: "reader".into() })).unwrap();
    assert_eq!(auth.rights(&anna).unwrap_err(), AuthError::OldRevision);
    assert_eq!(auth.roles_of("anna").unwrap(), ["writer"]);
    let (role, key, range_end) = ("writer".to_owned(), "w/".into(), "w0".into());
    let revoke = AuthAction::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end });
    change(&mut auth, revoke.clone()).unwrap();
    let rights = auth.rights(&user(&auth, "anna")).unwrap();
    assert_eq!(rights.write(b"w/1", b""), Err(AuthError::PermissionDenied));
    assert_eq!(change(&mut auth, revoke), Err(AuthError::PermissionNotGranted));
}

#[test]
fn a_token_is_granted_on_what_is_still_so() {
    let mut auth = enabled();
    let grant = |user: &str, revision| TokenGrant { user: user.to_owned(), digest: Bytes::new(), revision };
    let revision = auth.revision();
    assert_eq!(auth.check_token(&grant("anna", revision)), Ok(()));
    assert_eq!(auth.check_token(&grant("gone", revision)), Err(AuthError::Failed));
    assert_eq!(auth.check_token(&grant("anna", revision - 1)), Err(AuthError::OldRevision));
    change(&mut auth, AuthAction::Disable(AuthDisableRequest {})).unwrap();
    assert_eq!(auth.check_token(&grant("anna", auth.revision())), Err(AuthError::NotEnabled));
}

#[test]
fn users_and_roles_survive_a_snapshot() {
    let auth = enabled();
    let bytes = auth.to_stored().encode_to_vec();
    assert_eq!(Auth::restore(StoredAuth::decode(bytes.as_slice()).unwrap()), Some(auth));
}
