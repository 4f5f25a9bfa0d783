//! The commands of users, roles and tokens, as they stand in the log.

use bytes::Bytes;
use prost::{Message, Oneof};
use registry_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
    AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};

/// A change of users, roles, or of whether they count.
#[derive(Clone, PartialEq, Message)]
pub struct AuthChange {
    /// What is changed; none is of a version that this one does not know.
    #[prost(oneof = "AuthAction", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub action: Option<AuthAction>,
}

/// What is changed. Requests that bring a password bring its hash only: `hashed_password`, with `password` empty.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the requests of the Auth service say what each does")]
pub enum AuthAction {
    #[prost(message, tag = "1")]
    Enable(AuthEnableRequest),
    #[prost(message, tag = "2")]
    Disable(AuthDisableRequest),
    #[prost(message, tag = "3")]
    UserAdd(AuthUserAddRequest),
    #[prost(message, tag = "4")]
    UserDelete(AuthUserDeleteRequest),
    #[prost(message, tag = "5")]
    UserChangePassword(AuthUserChangePasswordRequest),
    #[prost(message, tag = "6")]
    UserGrantRole(AuthUserGrantRoleRequest),
    #[prost(message, tag = "7")]
    UserRevokeRole(AuthUserRevokeRoleRequest),
    #[prost(message, tag = "8")]
    RoleAdd(AuthRoleAddRequest),
    #[prost(message, tag = "9")]
    RoleDelete(AuthRoleDeleteRequest),
    #[prost(message, tag = "10")]
    RoleGrantPermission(AuthRoleGrantPermissionRequest),
    #[prost(message, tag = "11")]
    RoleRevokePermission(AuthRoleRevokePermissionRequest),
}

/// A user has shown its password, and has a token from now on.
#[derive(Clone, PartialEq, Message)]
pub struct TokenGrant {
    /// Whose.
    #[prost(string, tag = "1")]
    pub user: String,
    /// SHA-256 of the token's secret part: who reads the log or a disk has no token.
    #[prost(bytes = "bytes", tag = "2")]
    pub digest: Bytes,
    /// The revision of users and roles at which the password was right.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
}
