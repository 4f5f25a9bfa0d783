//! The flags of logins, with etcd's names.

use std::time::Duration;

use clap::Args;

use super::auth_settings::{AuthSettings, TokenKind};

#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub(super) struct AuthFlags {
    /// What a login gives: simple, or jwt,sign-method=ES256,pub-key=FILE,priv-key=FILE,ttl=5m.
    #[arg(long, value_name = "KIND", default_value_t = TokenKind::Simple)]
    auth_token: TokenKind,
    /// How long a simple token lives that nobody shows, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    auth_token_ttl: u64,
    /// bcrypt's cost of new passwords, from 4 to 31; each step doubles the time.
    #[arg(long, value_name = "COST", default_value_t = AuthSettings::default().bcrypt_cost)]
    bcrypt_cost: u32,
}

impl AuthFlags {
    pub(super) fn into_settings(self) -> AuthSettings {
        AuthSettings {
            token: self.auth_token,
            token_ttl: Duration::from_secs(self.auth_token_ttl),
            bcrypt_cost: self.bcrypt_cost,
        }
    }
}
