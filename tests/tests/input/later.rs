//! Services of etcd that this version does not have: they say so as an etcd does that lacks a service.
//!
//! What etcd answers to bad requests of theirs stands here already, so that whoever adds one finds its rows.

use registry_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGetRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};
use registry_proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use registry_proto::v3lockpb::{LockRequest, UnlockRequest};
use tonic::Code::{FailedPrecondition, InvalidArgument, Unimplemented, Unknown};

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

fn lock_rows() -> Vec<Row> {
    let leader = || Some(LeaderKey { name: "e".into(), key: "none".into(), rev: 404, lease: 404 });
    let lock = LockRequest { name: "l".into(), lease: 404 };
    let campaign = CampaignRequest { name: "e".into(), lease: 404, value: "v".into() };
    let waits = "etcd answers only when somebody is elected";
    vec![
        ask!("v3lockpb.Lock", "Lock", lock).etcd_refuses(Unknown, "requested lease not found", LATER),
        ask!("v3lockpb.Lock", "Unlock", UnlockRequest { key: "none".into() }).etcd_takes("", LATER),
        ask!("v3electionpb.Election", "Campaign", campaign).etcd_refuses(Unknown, "requested lease not found", LATER),
        ask!("v3electionpb.Election", "Proclaim", ProclaimRequest { leader: leader(), value: "v".into() })
            .etcd_refuses_plainly(Unknown, "election: not leader", LATER),
        ask!("v3electionpb.Election", "Leader", LeaderRequest { name: "e".into() }).etcd_refuses_plainly(
            Unknown,
            "election: no leader",
            LATER,
        ),
        ask!("v3electionpb.Election", "Observe", LeaderRequest { name: "e".into() }).etcd_is_not_asked(waits),
        ask!("v3electionpb.Election", "Resign", ResignRequest { leader: leader() }).etcd_takes("", LATER),
    ]
}

#[tokio::test]
async fn services_of_later_versions_are_unknown_services() {
    let mut rows = user_rows();
    rows.extend(role_rows());
    rows.extend(lock_rows());
    holds(rows).await;
}
