//! Who may do what: users, roles and their permissions, tokens and passwords.
//!
//! [`Auth`] is replicated state: it changes by commands only, and the same commands give the same users and roles on every
//! member. What it says is asked through [`Rights`]. [`Tokens`] and [`Passwords`] are this member's own: a token is known to
//! every member by an entry of the log, which holds its digest and never the token, and a password leaves its hash only.
//!
//! What always holds: while authentication is disabled everybody may do everything; while it is enabled, only who has
//! named a user that is there may do anything, and only the root role may do everything. As in etcd.

mod error;
mod jwt;
mod passwords;
mod rights;
mod role;
mod spans;
mod state;
mod tokens;
mod turns;

pub use error::AuthError;
pub use jwt::{Jwt, JwtAlgorithm, JwtError, JwtKeys};
pub use passwords::{DEFAULT_COST, PasswordError, Passwords};
pub use rights::Rights;
pub use state::{Auth, ROOT, StoredAuth};
pub use tokens::{DEFAULT_TTL, Digest, TokenObserver, Tokens, digest, new_secret};
