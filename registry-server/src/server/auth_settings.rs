//! How clients log in: what kind of token they get, and how passwords are hashed.
//!
//! `--auth-token` is written as in etcd: `simple`, or `jwt,sign-method=ES256,pub-key=FILE,priv-key=FILE,ttl=5m`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::go_values;
use crate::auth::{DEFAULT_COST, DEFAULT_TTL, Jwt, JwtAlgorithm, JwtError, JwtKeys};
use crate::storage::{OpenMode, Vfs, VfsFile};

/// No file with a key is larger.
const MOST_KEY_BYTES: u64 = 1 << 20;
/// bcrypt's bounds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// What they get. Default: simple tokens.
    pub token: TokenKind,
    /// How long a simple token lives that nobody shows. Default: 300 s.
    pub token_ttl: Duration,
    /// bcrypt's cost of a new password, from 4 to 31; each step doubles the time. Default: 10.
    pub bcrypt_cost: u32,
}

/// What kind of token a login gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// Random, and known to the members.
    Simple,
    /// One that carries its user and is signed.
    Jwt(JwtSettings),
}

/// With what tokens are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// The one algorithm that is taken.
    pub algorithm: JwtAlgorithm,
    /// The file with the public key, in PEM; without it, it is taken from the private one.
    pub pub_key: Option<PathBuf>,
    /// The file with the private key, in PEM, or with HMAC's secret; without it tokens are only verified.
    pub priv_key: Option<PathBuf>,
    /// How long a token lives. Default: 5 min.
    pub ttl: Duration,
}

/// Logins that cannot work; each text names the flag and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say what each means")]
pub enum AuthSettingsError {
    #[error("--auth-token {0:?} is no kind of token: give simple, or jwt,sign-method=..,pub-key=..,priv-key=..,ttl=..")]
    Kind(String),
    #[error(
        "--auth-token: {0:?} is not understood: options are sign-method, pub-key, priv-key and ttl, each once, as name=value"
    )]
    Option(String),
    #[error("--auth-token jwt needs sign-method, as in jwt,sign-method=ES256,priv-key=FILE")]
    NoMethod,
    #[error("--auth-token: ttl: {0}")]
    Ttl(String),
    #[error("--auth-token: {0}")]
    Jwt(#[from] JwtError),
    #[error("--auth-token: {option} {path}: {reason}")]
    Unreadable { option: &'static str, path: String, reason: String },
    #[error("--auth-token-ttl must be at least 1 second")]
    ZeroTtl,
    #[error("--bcrypt-cost {0} is out of bounds: give from 4 to 31")]
    Cost(u32),
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { token: TokenKind::Simple, token_ttl: DEFAULT_TTL, bcrypt_cost: DEFAULT_COST }
    }
}

impl AuthSettings {
    /// Checks what can be checked without the files.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub(super) fn validate(&self) -> Result<(), AuthSettingsError> {
        if self.token_ttl.is_zero() {
            return Err(AuthSettingsError::ZeroTtl);
        }
        if !COSTS.contains(&self.bcrypt_cost) {
            return Err(AuthSettingsError::Cost(self.bcrypt_cost));
        }
        Ok(())
    }

    /// What signs tokens, if anything does. Reads files.
    ///
    /// # Errors
    /// For files that cannot be read, and keys that cannot be used.
    pub(super) fn open<V: Vfs>(&self, vfs: &V) -> Result<Option<Jwt>, AuthSettingsError> {
        let TokenKind::Jwt(settings) = &self.token else { return Ok(None) };
        let read = |option: &'static str, path: &Option<PathBuf>| {
            path.as_deref().map(|path| read_key(vfs, option, path)).transpose()
        };
        let keys = JwtKeys {
            algorithm: settings.algorithm,
            public: read("pub-key", &settings.pub_key)?,
            private: read("priv-key", &settings.priv_key)?,
            ttl: settings.ttl,
        };
        Ok(Some(Jwt::new(&keys)?))
    }
}

fn read_key<V: Vfs>(vfs: &V, option: &'static str, path: &Path) -> Result<Vec<u8>, AuthSettingsError> {
    let read = || -> io::Result<Vec<u8>> {
        let file = vfs.open(path, OpenMode::Read)?;
        let length = file.len()?;
        if length > MOST_KEY_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be a key"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let unreadable = |error: io::Error| AuthSettingsError::Unreadable {
        option,
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    read().map_err(unreadable)
}

impl FromStr for TokenKind {
    type Err = AuthSettingsError;

    fn from_str(text: &str) -> Result<Self, AuthSettingsError> {
        let mut parts = text.split(',');
        match parts.next() {
            Some("simple") | Some("") if !text.contains(',') => return Ok(Self::Simple),
            Some("jwt") => {}
            _ => return Err(AuthSettingsError::Kind(text.to_owned())),
        }
        let mut options = BTreeMap::new();
        for part in parts {
            let bad = || AuthSettingsError::Option(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let is_known = ["sign-method", "pub-key", "priv-key", "ttl"].contains(&name);
            if !is_known || options.insert(name, value).is_some() {
                return Err(bad());
            }
        }
        let given = |name: &str| options.get(name).filter(|value| !value.is_empty());
        let algorithm = given("sign-method").ok_or(AuthSettingsError::NoMethod)?.parse()?;
        let ttl = given("ttl").map(|ttl| go_values::duration(ttl).map_err(AuthSettingsError::Ttl)).transpose()?;
        let file = |name: &str| given(name).map(PathBuf::from);
        Ok(Self::Jwt(JwtSettings {
            algorithm,
            pub_key: file("pub-key"),
            priv_key: file("priv-key"),
            ttl: ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(DEFAULT_TTL),
        }))
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Simple { "simple" } else { "jwt" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(text: &str) -> JwtSettings {
        let Ok(TokenKind::Jwt(settings)) = text.parse() else { panic!("{text} is not read") };
        settings
    }

    #[test]
    fn tokens_are_described_as_in_etcd() {
        assert_eq!("simple".parse(), Ok(TokenKind::Simple));
        assert_eq!("".parse(), Ok(TokenKind::Simple));
        let settings = jwt("jwt,pub-key=/p,priv-key=/k,sign-method=RS256,ttl=10m");
        assert_eq!((settings.pub_key, settings.priv_key), (Some("/p".into()), Some("/k".into())));
        assert_eq!((settings.algorithm, settings.ttl), ("RS256".parse().unwrap(), Duration::from_secs(600)));
        assert_eq!(jwt("jwt,sign-method=HS256,priv-key=/k").ttl, DEFAULT_TTL);
    }

    #[test]
    fn what_is_not_understood_is_told_with_the_mend() {
        for (text, part) in [
            ("none", "give simple, or jwt"),
            ("simple,a=b", "give simple, or jwt"),
            ("jwt", "needs sign-method"),
            ("jwt,sign-method", "name=value"),
            ("jwt,sign-method=ES256,color=red", "color=red"),
            ("jwt,sign-method=ES256,ttl=1m,ttl=2m", "ttl=2m"),
            ("jwt,sign-method=none", "give one of HS256"),
            ("jwt,sign-method=ES256,ttl=soon", "is not a duration"),
        ] {
            let error = text.parse::<TokenKind>().unwrap_err().to_string();
            assert!(error.starts_with("--auth-token") && error.contains(part), "{text}: {error}");
        }
        let missing =
            AuthSettings { token: "jwt,sign-method=HS256,priv-key=/none".parse().unwrap(), ..Default::default() };
        let error = missing.open(&crate::storage::StdVfs).unwrap_err().to_string();
        assert!(error.contains("priv-key /none"), "{error}");
        for (settings, part) in [
            (AuthSettings { bcrypt_cost: 3, ..Default::default() }, "--bcrypt-cost 3"),
            (AuthSettings { token_ttl: Duration::ZERO, ..Default::default() }, "--auth-token-ttl"),
        ] {
            assert!(settings.validate().unwrap_err().to_string().contains(part));
        }
    }
}
