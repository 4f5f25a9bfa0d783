//! What somebody may do.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::error::AuthError;
use super::role::Role;
use super::spans::{Asked, Spans, cover, cover_each};
use super::state::{Auth, ROOT, User};
use crate::types::Author;

/// What an author may do to keys and leases, at the revision of users and roles at which it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Rights<'a> {
    auth: &'a Auth,
    /// None for those who may do everything.
    user: Option<&'a User>,
}

impl Auth {
    /// What this author may do to keys and leases.
    ///
    /// # Errors
    /// While authentication is enabled, for somebody who named no user, by an old token, or a user that is not there.
    pub fn rights(&self, author: &Author) -> Result<Rights<'_>, AuthError> {
        let may_all = Ok(Rights { auth: self, user: None });
        if !self.is_enabled() {
            return may_all;
        }
        match author {
            Author::Member => may_all,
            Author::Nobody => Err(AuthError::UserEmpty),
            Author::User { revision, .. } if *revision < self.revision() => Err(AuthError::OldRevision),
            Author::User { name, .. } => {
                let user = self.user(name).ok_or(AuthError::PermissionDenied)?;
                Ok(Rights { auth: self, user: Some(user).filter(|user| !user.is_root()) })
            }
        }
    }

    /// Whether this author has the root role. As in etcd, its token may be old: it is the user of now who is asked.
    ///
    /// # Errors
    /// While authentication is enabled, for everybody else.
    pub fn check_admin(&self, author: &Author) -> Result<(), AuthError> {
        match author {
            _ if !self.is_enabled() => Ok(()),
            Author::Member => Ok(()),
            Author::Nobody => Err(AuthError::UserEmpty),
            Author::User { name, .. } => match self.user(name) {
                None => Err(AuthError::UserNotFound),
                Some(user) if user.is_root() => Ok(()),
                Some(_) => Err(AuthError::PermissionDenied),
            },
        }
    }

    /// Whether this author has named a user, whoever that is.
    ///
    /// # Errors
    /// While authentication is enabled, for somebody who did not.
    pub fn check_named(&self, author: &Author) -> Result<(), AuthError> {
        match author {
            Author::Nobody if self.is_enabled() => Err(AuthError::UserEmpty),
            _ => Ok(()),
        }
    }

    /// Whether this author may see a user: itself, or any with the root role.
    ///
    /// # Errors
    /// As [`Auth::check_admin`].
    pub fn check_sees_user(&self, author: &Author, user: &str) -> Result<(), AuthError> {
        match author {
            Author::User { name, .. } if **name == *user => Ok(()),
            _ => self.check_admin(author),
        }
    }

    /// Whether this author may see a role: one that it has, or any with the root role.
    ///
    /// # Errors
    /// As [`Auth::check_admin`].
    pub fn check_sees_role(&self, author: &Author, role: &str) -> Result<(), AuthError> {
        match author {
            Author::User { name, .. } if self.user(name).is_some_and(|user| user.has(role)) => Ok(()),
            _ => self.check_admin(author),
        }
    }
}

impl Rights<'_> {
    /// Whether there is nothing that is not permitted.
    #[must_use]
    pub fn may_all(&self) -> bool {
        self.user.is_none()
    }

    /// Whether all of these keys may be read; `range_end` as in a range request.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`].
    pub fn read(&self, key: &[u8], range_end: &[u8]) -> Result<(), AuthError> {
        self.check(Asked { key, range_end }, Role::read)
    }

    /// Whether all of these keys may be written and deleted; `range_end` as in a range request.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`].
    pub fn write(&self, key: &[u8], range_end: &[u8]) -> Result<(), AuthError> {
        self.check(Asked { key, range_end }, Role::write)
    }

    /// Whether each of these keys may be read, at a cost that depends on the user's permissions and not on the keys.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`].
    pub fn read_each(&self, keys: &BTreeSet<Bytes>) -> Result<(), AuthError> {
        self.check_each(keys, Role::read)
    }

    /// Whether each of these keys may be written and deleted, at the same cost.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`].
    pub fn write_each(&self, keys: &BTreeSet<Bytes>) -> Result<(), AuthError> {
        self.check_each(keys, Role::write)
    }

    fn check_each(&self, keys: &BTreeSet<Bytes>, of_role: fn(&Role) -> &Spans) -> Result<(), AuthError> {
        let Some(user) = self.user else { return Ok(()) };
        let sets = user.roles().filter_map(|name| self.auth.role(name)).map(of_role);
        if cover_each(&sets, keys) { Ok(()) } else { Err(AuthError::PermissionDenied) }
    }

    fn check(&self, asked: Asked<'_>, of_role: fn(&Role) -> &Spans) -> Result<(), AuthError> {
        let Some(user) = self.user else { return Ok(()) };
        let sets = user.roles().filter_map(|name| self.auth.role(name)).map(of_role);
        if cover(&sets, asked) { Ok(()) } else { Err(AuthError::PermissionDenied) }
    }
}

impl User {
    fn is_root(&self) -> bool {
        self.has(ROOT)
    }
}
