//! In whose name something is done.

use std::sync::Arc;

/// Who wants something done. What that may be is the business of `auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Author {
    /// Nobody who said who that is.
    #[default]
    Nobody,
    /// A user, by a token or a certificate.
    User {
        /// The name.
        name: Arc<str>,
        /// The revision of users and roles at which that was found out; what was decided before a later one is asked anew.
        revision: u64,
    },
    /// A member of the cluster, on its own account.
    Member,
}
