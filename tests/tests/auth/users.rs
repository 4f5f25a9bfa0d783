//! Users and roles: what is refused, in etcd's words, and what is listed.

use registry_proto::authpb::UserAddOptions;
use registry_proto::authpb::permission::Type;
use registry_proto::etcdserverpb::*;
use registry_tests::{Node, refusal};
use tonic::{Code, Response, Status};

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// Code and text of what must be refused.
fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (Code, String) {
    refusal(answer)
}

fn etcds(code: Code, text: &str) -> (Code, String) {
    (code, format!("etcdserver: {text}"))
}

fn precondition(text: &str) -> (Code, String) {
    etcds(Code::FailedPrecondition, text)
}

fn argument(text: &str) -> (Code, String) {
    etcds(Code::InvalidArgument, text)
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_etcds_words() {
    let node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let mut auth = door.auth();
    let name = |name: &str| name.to_owned();
    let enable = |door: Door| async move { refused(door.auth().auth_enable(AuthEnableRequest {}).await) };
    assert_eq!(enable(door.clone()).await, precondition("root user does not exist"));
    door.add_user("root", "p").await;
    assert_eq!(enable(door.clone()).await, precondition("root user does not have root role"));
    assert_eq!(refusal(door.log_in("root", "p").await), precondition("authentication is not enabled"));
    assert_eq!(refusal(door.try_add_user("root", "p").await), precondition("user name already exists"));
    assert_eq!(refusal(door.try_add_user("", "p").await), argument("user name is empty"));
    let no_user = precondition("user name not found");
    assert_eq!(refused(auth.user_delete(AuthUserDeleteRequest { name: name("x") }).await), no_user);
    assert_eq!(refused(auth.user_get(AuthUserGetRequest { name: name("x") }).await), no_user);
    let change = AuthUserChangePasswordRequest { name: name("x"), password: name("p"), ..Default::default() };
    assert_eq!(refused(auth.user_change_password(change).await), no_user);
    let grant = |user: &str, role: &str| AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
    assert_eq!(refused(auth.user_grant_role(grant("x", "root")).await), no_user);
    let no_role = precondition("role name not found");
    assert_eq!(refused(auth.user_grant_role(grant("root", "x")).await), no_role);
    assert_eq!(refused(auth.role_get(AuthRoleGetRequest { role: name("x") }).await), no_role);
    assert_eq!(refused(auth.role_delete(AuthRoleDeleteRequest { role: name("x") }).await), no_role);
    let revoke = AuthUserRevokeRoleRequest { name: name("root"), role: name("x") };
    assert_eq!(refused(auth.user_revoke_role(revoke).await), precondition("role is not granted to the user"));
    assert_eq!(refused(auth.role_add(AuthRoleAddRequest::default()).await), argument("role name is empty"));
    auth.role_add(AuthRoleAddRequest { name: name("r") }).await.unwrap();
    let again = auth.role_add(AuthRoleAddRequest { name: name("r") }).await;
    assert_eq!(refused(again), precondition("role name already exists"));
    let none = AuthRoleGrantPermissionRequest { name: name("r"), perm: None };
    assert_eq!(refused(auth.role_grant_permission(none).await), argument("permission not given"));
    let bad_range = door.permit("r", Type::Read, "b", "a").await;
    assert_eq!(refusal(bad_range), argument("invalid auth management"));
    let revoke = AuthRoleRevokePermissionRequest { role: name("r"), key: "k".into(), range_end: "".into() };
    let refusal_text = precondition("permission is not granted to the role");
    assert_eq!(refused(auth.role_revoke_permission(revoke).await), refusal_text);
    assert_eq!(refusal(door.try_add_user("short", "").await).0, Code::InvalidArgument);
    assert_eq!(refusal(door.try_add_user("long", &"x".repeat(73)).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn the_root_user_and_its_role_stay_while_authentication_is_enabled() {
    let node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let tokens = set_up(&door).await;
    let root = door.by(&tokens[0]);
    let (mut auth, kept) = (root.auth(), argument("invalid auth management"));
    let user = AuthUserDeleteRequest { name: "root".into() };
    assert_eq!(refused(auth.user_delete(root.request(user)).await), kept);
    let role = AuthRoleDeleteRequest { role: "root".into() };
    assert_eq!(refused(auth.role_delete(root.request(role)).await), kept);
    let both = AuthUserRevokeRoleRequest { name: "root".into(), role: "root".into() };
    assert_eq!(refused(auth.user_revoke_role(root.request(both)).await), kept);
    assert_eq!(refusal(door.log_in("root", "wrong").await), argument(WRONG));
    assert_eq!(refusal(door.log_in("stranger", "p").await), argument(WRONG));
}

const WRONG: &str = "authentication failed, invalid user ID or password";

#[tokio::test]
async fn users_and_roles_are_listed_with_what_they_have() {
    let node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let mut auth = door.auth();
    for role in ["z", "a"] {
        door.add_role(role, Type::Readwrite, role, "").await;
    }
    door.permit("a", Type::Read, "k", "\0").await.unwrap();
    door.permit("a", Type::Write, "k", "\0").await.unwrap();
    let options = Some(UserAddOptions { no_password: true });
    let request = AuthUserAddRequest { name: "by-certificate".into(), options, ..Default::default() };
    auth.user_add(request).await.unwrap();
    door.grant_role("by-certificate", "z").await;
    door.grant_role("by-certificate", "a").await;
    let users = auth.user_list(AuthUserListRequest {}).await.unwrap().into_inner().users;
    assert_eq!(users, ["by-certificate"]);
    let roles = auth.role_list(AuthRoleListRequest {}).await.unwrap().into_inner().roles;
    assert_eq!(roles, ["a", "z"]);
    let of_user = auth.user_get(AuthUserGetRequest { name: "by-certificate".into() }).await.unwrap().into_inner().roles;
    assert_eq!(of_user, ["a", "z"]);
    let perm = auth.role_get(AuthRoleGetRequest { role: "a".into() }).await.unwrap().into_inner().perm;
    let perm: Vec<_> = perm.iter().map(|it| (&it.key[..], &it.range_end[..], it.perm_type())).collect();
    assert_eq!(perm, [(&b"a"[..], &b""[..], Type::Readwrite), (b"k", b"\0", Type::Write)]);
    let status = auth.auth_status(AuthStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.enabled, status.auth_revision > 1), (false, true));
}
