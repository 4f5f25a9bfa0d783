//! What a login needs beside users and roles: passwords, and the tokens of this member.

use std::sync::{Arc, OnceLock};

use crate::auth::{DEFAULT_COST, DEFAULT_TTL, Jwt, Passwords, Tokens};
use crate::types::Runtime;

/// How this member knows who calls. The default has simple tokens, with etcd's settings.
#[derive(Debug)]
pub struct Logins<R: Runtime> {
    /// The tokens that it knows.
    pub tokens: Arc<Tokens<R>>,
    /// Tokens that carry their user themselves, in place of those.
    pub jwt: OnceLock<Jwt>,
    /// Works on passwords.
    pub passwords: Passwords,
    /// Whether a client's certificate says who it is.
    pub by_certificate: bool,
}

impl<R: Runtime> Default for Logins<R> {
    fn default() -> Self {
        let tokens = Arc::new(Tokens::new(DEFAULT_TTL));
        Self { tokens, jwt: OnceLock::new(), passwords: Passwords::new(DEFAULT_COST, 1), by_certificate: false }
    }
}
