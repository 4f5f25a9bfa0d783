//! Users, roles and logins that make no sense.

use registry_proto::authpb::Permission;
use registry_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGetRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};
use tonic::Code::{FailedPrecondition, InvalidArgument, Unimplemented};

use crate::table::{Row, holds, row};

macro_rules! ask {
    ($method:literal, $request:expr) => {
        row($method, concat!("/etcdserverpb.Auth/", $method), &$request)
    };
}

fn precondition(row: Row, text: &str) -> Row {
    row.refused(FailedPrecondition, text)
}

fn invalid(row: Row, text: &str) -> Row {
    row.refused(InvalidArgument, text)
}

fn user_rows() -> Vec<Row> {
    let name = || "nobody".to_owned();
    let password = || "secret".to_owned();
    let (no_user, empty) = ("user name not found", AuthUserAddRequest { password: password(), ..Default::default() });
    let change = AuthUserChangePasswordRequest { name: name(), password: password(), ..Default::default() };
    let grant = AuthUserGrantRoleRequest { user: name(), role: "none".to_owned() };
    let revoke = AuthUserRevokeRoleRequest { name: name(), role: "none".to_owned() };
    vec![
        precondition(ask!("AuthEnable", ()), "root user does not exist"),
        ask!("AuthDisable", ()),
        ask!("AuthStatus", ()).etcd_codes(Unimplemented, "3.4 has no such method"),
        precondition(
            ask!("Authenticate", AuthenticateRequest { name: name(), password: password() }),
            "authentication is not enabled",
        ),
        invalid(ask!("UserAdd", empty), "user name is empty"),
        precondition(ask!("UserGet", AuthUserGetRequest { name: name() }), no_user),
        ask!("UserList", ()),
        precondition(ask!("UserDelete", AuthUserDeleteRequest { name: name() }), no_user),
        precondition(ask!("UserChangePassword", change), no_user),
        precondition(ask!("UserGrantRole", grant), no_user),
        precondition(ask!("UserRevokeRole", revoke), no_user),
    ]
}

fn role_rows() -> Vec<Row> {
    let role = || "none".to_owned();
    let no_role = "role name not found";
    let grant = |perm| AuthRoleGrantPermissionRequest { name: role(), perm };
    let permission = Permission { key: "k".into(), ..Permission::default() };
    let revoke = AuthRoleRevokePermissionRequest { role: role(), ..Default::default() };
    vec![
        invalid(ask!("RoleAdd", AuthRoleAddRequest::default()), "role name is empty"),
        precondition(ask!("RoleGet", AuthRoleGetRequest { role: role() }), no_role),
        ask!("RoleList", ()),
        precondition(ask!("RoleDelete", AuthRoleDeleteRequest { role: role() }), no_role),
        precondition(ask!("RoleGrantPermission", grant(Some(permission))), no_role),
        invalid(ask!("RoleGrantPermission", grant(None)), "permission not given").etcd_refuses(
            FailedPrecondition,
            no_role,
            "3.4 looks for the role first; 3.7 as we do",
        ),
        precondition(ask!("RoleRevokePermission", revoke), no_role),
    ]
}

#[tokio::test]
async fn users_and_roles_get_etcds_answers() {
    let mut rows = user_rows();
    rows.extend(role_rows());
    holds(rows).await;
}
