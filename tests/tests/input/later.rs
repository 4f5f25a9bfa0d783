//! Services of etcd that this version does not have: they say so as an etcd does that lacks a service.
//!
//! What etcd answers to bad requests of theirs stands here already, so that whoever adds one finds its rows.

use registry_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGetRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};
use tonic::Code::{FailedPrecondition, InvalidArgument, Unimplemented};

use crate::table::{Row, holds, row};

const LATER: &str = "the service comes with a later version";

macro_rules! ask {
    ($service:literal, $method:literal, $request:expr) => {
        row(concat!($service, "/", $method), concat!("/", $service, "/", $method), &$request)
            .refused_plainly(Unimplemented, concat!("unknown service ", $service))
    };
}

fn precondition(row: Row, text: &str) -> Row {
    row.etcd_refuses(FailedPrecondition, text, LATER)
}

fn invalid(row: Row, text: &str) -> Row {
    row.etcd_refuses(InvalidArgument, text, LATER)
}

fn user_rows() -> Vec<Row> {
    let name = || "nobody".to_owned();
    let password = || "secret".to_owned();
    let (no_user, empty) = ("user name not found", AuthUserAddRequest { password: password(), ..Default::default() });
    let change = AuthUserChangePasswordRequest { name: name(), password: password(), ..Default::default() };
    let grant = AuthUserGrantRoleRequest { user: name(), role: "none".to_owned() };
    let revoke = AuthUserRevokeRoleRequest { name: name(), role: "none".to_owned() };
    vec![
        precondition(ask!("etcdserverpb.Auth", "AuthEnable", ()), "root user does not exist"),
        ask!("etcdserverpb.Auth", "AuthDisable", ()).etcd_takes("", LATER),
        ask!("etcdserverpb.Auth", "AuthStatus", ()).etcd_codes(Unimplemented, "3.4 has no such method"),
        precondition(
            ask!("etcdserverpb.Auth", "Authenticate", AuthenticateRequest { name: name(), password: password() }),
            "authentication is not enabled",
        ),
        invalid(ask!("etcdserverpb.Auth", "UserAdd", empty), "user name is empty"),
        precondition(ask!("etcdserverpb.Auth", "UserGet", AuthUserGetRequest { name: name() }), no_user),
        ask!("etcdserverpb.Auth", "UserList", ()).etcd_takes("", LATER),
        precondition(ask!("etcdserverpb.Auth", "UserDelete", AuthUserDeleteRequest { name: name() }), no_user),
        precondition(ask!("etcdserverpb.Auth", "UserChangePassword", change), no_user),
        precondition(ask!("etcdserverpb.Auth", "UserGrantRole", grant), no_user),
        precondition(ask!("etcdserverpb.Auth", "UserRevokeRole", revoke), no_user),
    ]
}

fn role_rows() -> Vec<Row> {
    let role = || "none".to_owned();
    let no_role = "role name not found";
    let grant = AuthRoleGrantPermissionRequest { name: role(), perm: None };
    let revoke = AuthRoleRevokePermissionRequest { role: role(), ..Default::default() };
    vec![
        invalid(ask!("etcdserverpb.Auth", "RoleAdd", AuthRoleAddRequest::default()), "role name is empty"),
        precondition(ask!("etcdserverpb.Auth", "RoleGet", AuthRoleGetRequest { role: role() }), no_role),
        ask!("etcdserverpb.Auth", "RoleList", ()).etcd_takes("", LATER),
        precondition(ask!("etcdserverpb.Auth", "RoleDelete", AuthRoleDeleteRequest { role: role() }), no_role),
        precondition(ask!("etcdserverpb.Auth", "RoleGrantPermission", grant), no_role),
        precondition(ask!("etcdserverpb.Auth", "RoleRevokePermission", revoke), no_role),
    ]
}

#[tokio::test]
async fn services_of_later_versions_are_unknown_services() {
    let mut rows = user_rows();
    rows.extend(role_rows());
    holds(rows).await;
}
