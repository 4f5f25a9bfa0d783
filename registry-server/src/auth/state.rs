//! The users and roles, and whether they count: one state on all members, changed by commands.
//!
//! Each change counts the revision up, so that whoever was asked about an earlier one is asked anew. A change that is
//! refused changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use registry_proto::authpb;
use registry_proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest,
    AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};

use super::error::AuthError;
use super::role::Role;
use super::spans::is_range;
use crate::command::{AuthAction, AuthChange, TokenGrant};

/// The user and the role that etcd asks for before authentication is enabled.
pub const ROOT: &str = "root";
/// What a user, a role or a permission takes beside its texts, about.
const OVERHEAD_BYTES: u64 = 128;

/// The users and roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    /// A bcrypt hash; empty for one who comes by certificate only.
    password: String,
    no_password: bool,
    roles: BTreeSet<String>,
}

/// What a snapshot holds of it: users and roles as etcd stores them.
#[derive(Clone, PartialEq, Message)]
pub struct StoredAuth {
    /// Whether anybody is asked who that is.
    #[prost(bool, tag = "1")]
    pub enabled: bool,
    /// Counted up by each change.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// By name; passwords are bcrypt hashes.
    #[prost(message, repeated, tag = "3")]
    pub users: Vec<authpb::User>,
    /// By name.
    #[prost(message, repeated, tag = "4")]
    pub roles: Vec<authpb::Role>,
}

impl Default for Auth {
    fn default() -> Self {
        // As in etcd, whose first revision is 1.
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl User {
    pub(super) fn has(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// In the order of their names.
    pub(super) fn roles(&self) -> impl Iterator<Item = &String> + Clone {
        self.roles.iter()
    }
}

impl Auth {
    /// Whether anybody is asked who that is.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Counted up by each change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The names of all users, sorted.
    pub fn users(&self) -> impl Iterator<Item = &String> {
        self.users.keys()
    }

    /// The names of all roles, sorted.
    pub fn roles(&self) -> impl Iterator<Item = &String> {
        self.roles.keys()
    }

    /// The roles of a user, sorted; none if there is no such user.
    #[must_use]
    pub fn roles_of(&self, user: &str) -> Option<Vec<String>> {
        Some(self.users.get(user)?.roles.iter().cloned().collect())
    }

    /// The permissions of a role, by key; none if there is no such role.
    #[must_use]
    pub fn permissions_of(&self, role: &str) -> Option<Vec<authpb::Permission>> {
        let role_of_all = || {
            vec![authpb::Permission {
                perm_type: authpb::permission::Type::Readwrite.into(),
                key: Bytes::new(),
                range_end: Bytes::from_static(b"\0"),
            }]
        };
        let known = self.roles.get(role)?;
        Some(if role == ROOT { role_of_all() } else { known.permissions().collect() })
    }

    /// The hash of a user's password; none if there is no such user, or it has no password.
    #[must_use]
    pub fn password_of(&self, user: &str) -> Option<&str> {
        self.users.get(user).filter(|user| !user.no_password).map(|user| user.password.as_str())
    }

    /// Whether a user comes by certificate only; none if there is no such user.
    #[must_use]
    pub fn has_no_password(&self, user: &str) -> Option<bool> {
        self.users.get(user).map(|user| user.no_password)
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(super) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// Changes it.
    ///
    /// # Errors
    /// What etcd refuses; nothing has changed then.
    pub fn change(&mut self, change: AuthChange) -> Result<(), AuthError> {
        let action = change.action.ok_or(AuthError::InvalidManagement)?;
        let has_changed = match action {
            AuthAction::Enable(_) => return self.enable(),
            AuthAction::Disable(_) => std::mem::take(&mut self.enabled),
            AuthAction::UserAdd(request) => self.add_user(request)?,
            AuthAction::UserDelete(request) => self.delete_user(&request.name)?,
            AuthAction::UserChangePassword(request) => self.change_password(request)?,
            AuthAction::UserGrantRole(request) => self.grant_role(request)?,
            AuthAction::UserRevokeRole(request) => self.revoke_role(&request)?,
            AuthAction::RoleAdd(request) => self.add_role(request.name)?,
            AuthAction::RoleDelete(request) => self.delete_role(&request.role)?,
            AuthAction::RoleGrantPermission(request) => self.grant_permission(request)?,
            AuthAction::RoleRevokePermission(request) => self.revoke_permission(&request)?,
        };
        self.revision += u64::from(has_changed);
        Ok(())
    }

    /// Whether a token may be granted on what was found out before.
    ///
    /// # Errors
    /// When users or roles have changed since, or nobody needs a token.
    pub fn check_token(&self, grant: &TokenGrant) -> Result<(), AuthError> {
        if !self.enabled {
            return Err(AuthError::NotEnabled);
        }
        if grant.revision != self.revision {
            return Err(AuthError::OldRevision);
        }
        self.password_of(&grant.user).map(|_| ()).ok_or(AuthError::Failed)
    }

    /// As in etcd, the revision stays.
    fn enable(&mut self) -> Result<(), AuthError> {
        let root = self.users.get(ROOT).ok_or(AuthError::RootUserNotExist)?;
        if !root.has(ROOT) {
            return Err(AuthError::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(())
    }

    fn add_user(&mut self, request: AuthUserAddRequest) -> Result<bool, AuthError> {
        if request.name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        if self.users.contains_key(&request.name) {
            return Err(AuthError::UserExists);
        }
        let no_password = request.options.is_some_and(|options| options.no_password);
        let password = if no_password { String::new() } else { request.hashed_password };
        self.users.insert(request.name, User { password, no_password, roles: BTreeSet::new() });
        Ok(true)
    }

    fn delete_user(&mut self, name: &str) -> Result<bool, AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.users.remove(name).map(|_| true).ok_or(AuthError::UserNotFound)
    }

    fn change_password(&mut self, request: AuthUserChangePasswordRequest) -> Result<bool, AuthError> {
        let user = self.users.get_mut(&request.name).ok_or(AuthError::UserNotFound)?;
        if !user.no_password {
            user.password = request.hashed_password;
        }
        Ok(true)
    }

    fn grant_role(&mut self, request: AuthUserGrantRoleRequest) -> Result<bool, AuthError> {
        let user = self.users.get_mut(&request.user).ok_or(AuthError::UserNotFound)?;
        if request.role != ROOT && !self.roles.contains_key(&request.role) {
            return Err(AuthError::RoleNotFound);
        }
        Ok(user.roles.insert(request.role))
    }

    fn revoke_role(&mut self, request: &AuthUserRevokeRoleRequest) -> Result<bool, AuthError> {
        if self.enabled && request.name == ROOT && request.role == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        let user = self.users.get_mut(&request.name).ok_or(AuthError::UserNotFound)?;
        if user.roles.remove(&request.role) { Ok(true) } else { Err(AuthError::RoleNotGranted) }
    }

    fn add_role(&mut self, name: String) -> Result<bool, AuthError> {
        if name.is_empty() {
            return Err(AuthError::RoleEmpty);
        }
        if self.roles.contains_key(&name) {
            return Err(AuthError::RoleExists);
        }
        self.roles.insert(name, Role::default());
        Ok(true)
    }

    fn delete_role(&mut self, name: &str) -> Result<bool, AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.roles.remove(name).ok_or(AuthError::RoleNotFound)?;
        for user in self.users.values_mut() {
            user.roles.remove(name);
        }
        Ok(true)
    }

    fn grant_permission(&mut self, request: AuthRoleGrantPermissionRequest) -> Result<bool, AuthError> {
        let permission = request.perm.ok_or(AuthError::PermissionNotGiven)?;
        if !is_range(&permission.key, &permission.range_end) {
            return Err(AuthError::InvalidManagement);
        }
        self.roles.get_mut(&request.name).ok_or(AuthError::RoleNotFound)?.grant(&permission);
        Ok(true)
    }

    fn revoke_permission(&mut self, request: &AuthRoleRevokePermissionRequest) -> Result<bool, AuthError> {
        let role = self.roles.get_mut(&request.role).ok_or(AuthError::RoleNotFound)?;
        if role.revoke(&request.key, &request.range_end) { Ok(true) } else { Err(AuthError::PermissionNotGranted) }
    }

    /// What the quota counts of it, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let texts = |texts: &BTreeSet<String>| texts.iter().map(|text| text.len() as u64 + OVERHEAD_BYTES).sum::<u64>();
        let user = |(name, user): (&String, &User)| {
            (name.len() + user.password.len()) as u64 + texts(&user.roles) + OVERHEAD_BYTES
        };
        let role = |(name, role): (&String, &Role)| {
            let permission = |it: authpb::Permission| (it.key.len() + it.range_end.len()) as u64 + OVERHEAD_BYTES;
            name.len() as u64 + role.permissions().map(permission).sum::<u64>() + OVERHEAD_BYTES
        };
        self.users.iter().map(user).sum::<u64>() + self.roles.iter().map(role).sum::<u64>()
    }

    /// What a snapshot holds of it.
    #[must_use]
    pub fn to_stored(&self) -> StoredAuth {
        let user = |(name, user): (&String, &User)| authpb::User {
            name: Bytes::copy_from_slice(name.as_bytes()),
            password: Bytes::copy_from_slice(user.password.as_bytes()),
            roles: user.roles.iter().cloned().collect(),
            options: Some(authpb::UserAddOptions { no_password: user.no_password }),
        };
        let role = |(name, role): (&String, &Role)| authpb::Role {
            name: Bytes::copy_from_slice(name.as_bytes()),
            key_permission: role.permissions().collect(),
        };
        StoredAuth {
            enabled: self.enabled,
            revision: self.revision,
            users: self.users.iter().map(user).collect(),
            roles: self.roles.iter().map(role).collect(),
        }
    }

    /// And back. None if a name or a hash is no text.
    #[must_use]
    pub fn restore(stored: StoredAuth) -> Option<Self> {
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).ok();
        let user = |user: authpb::User| {
            let no_password = user.options.is_some_and(|options| options.no_password);
            let roles = user.roles.into_iter().collect();
            Some((text(user.name)?, User { password: text(user.password)?, no_password, roles }))
        };
        let role = |role: authpb::Role| Some((text(role.name)?, Role::new(role.key_permission)));
        Some(Self {
            enabled: stored.enabled,
            revision: stored.revision,
            users: stored.users.into_iter().map(user).collect::<Option<_>>()?,
            roles: stored.roles.into_iter().map(role).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
