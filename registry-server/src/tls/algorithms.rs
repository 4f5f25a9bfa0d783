//! Versions and cipher suites: what the settings name, made into what the library takes.
//!
//! As to etcd, the suites are those of TLS 1.2; all of TLS 1.3 are always spoken. Names of suites that Go has and that are
//! too weak for the library are known and left out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::{ConfigBuilder, ConfigSide, SupportedCipherSuite, SupportedProtocolVersion, WantsVerifier, WantsVersions};

use super::error::TlsError;

/// How the library's names of TLS 1.3 suites begin; Go and etcd call them `TLS_`.
const TLS13: &str = "TLS13_";
/// Two suites that etcd also knows without their hash.
const SHORT: &str = "_CHACHA20_POLY1305";
/// Suites that etcd accepts and nobody should speak: without forward secrecy or authenticated encryption.
const WEAK: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// The cipher suites of TLS 1.2, by Go's names; empty for all.
    pub cipher_suites: Vec<String>,
    /// The lowest version; none for TLS 1.2.
    pub min_version: Option<TlsVersion>,
    /// The highest version; none for the highest there is.
    pub max_version: Option<TlsVersion>,
}

/// Versions and suites that do not go together; etcd's texts where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmsError {
    /// Nobody has a suite of that name.
    #[error("--cipher-suites: unexpected TLS cipher suite {name:?}; give names like {}", known())]
    UnknownSuite {
        /// As it was given.
        name: String,
    },
    /// Nothing lies between them.
    #[error("--tls-min-version: min version ({min}) is greater than max version ({max})")]
    MinAboveMax {
        /// The lowest.
        min: TlsVersion,
        /// The highest.
        max: TlsVersion,
    },
    /// TLS 1.3 has no suites to choose from.
    #[error("--cipher-suites: cipher suites cannot be configured when only TLS1.3 is enabled")]
    SuitesOfTls13,
    /// None is left.
    #[error("--cipher-suites has only suites that are too weak to be spoken here; give names like {}", known())]
    OnlyWeak,
}

impl Algorithms {
    /// Checks that something is spoken.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), AlgorithmsError> {
        let (min, max) = (self.min_version.unwrap_or(TlsVersion::Tls12), self.max_version);
        if let Some(max) = max
            && min > max
        {
            return Err(AlgorithmsError::MinAboveMax { min, max });
        }
        if self.cipher_suites.is_empty() {
            return Ok(());
        }
        if let Some(name) = self.cipher_suites.iter().find(|name| !is_known(name)) {
            return Err(AlgorithmsError::UnknownSuite { name: name.clone() });
        }
        if min == TlsVersion::Tls13 {
            return Err(AlgorithmsError::SuitesOfTls13);
        }
        if max == Some(TlsVersion::Tls12) && !self.has_tls12_suite() {
            return Err(AlgorithmsError::OnlyWeak);
        }
        Ok(())
    }

    /// The suites that were named and are not spoken: they are too weak.
    #[must_use]
    pub fn weak_suites(&self) -> Vec<&str> {
        self.cipher_suites.iter().map(String::as_str).filter(|name| is_weak(name)).collect()
    }

    /// Cryptography with these suites.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = default_provider();
        if !self.cipher_suites.is_empty() {
            provider.cipher_suites.retain(|suite| is_of_tls13(suite) || self.names(suite));
        }
        Arc::new(provider)
    }

    /// Builds with these versions.
    ///
    /// # Errors
    /// The library does not take them.
    pub(super) fn versions<S: ConfigSide>(
        &self,
        builder: ConfigBuilder<S, WantsVersions>,
    ) -> Result<ConfigBuilder<S, WantsVerifier>, TlsError> {
        let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
        if self.max_version != Some(TlsVersion::Tls12) {
            versions.push(&rustls::version::TLS13);
        }
        if self.min_version != Some(TlsVersion::Tls13) && self.has_tls12_suite() {
            versions.push(&rustls::version::TLS12);
        }
        builder.with_protocol_versions(&versions).map_err(|error| TlsError::Unusable(error.to_string()))
    }

    fn has_tls12_suite(&self) -> bool {
        let suites = default_provider().cipher_suites;
        self.cipher_suites.is_empty() || suites.iter().any(|suite| !is_of_tls13(suite) && self.names(suite))
    }

    fn names(&self, suite: &SupportedCipherSuite) -> bool {
        let name = go_name(suite);
        self.cipher_suites.iter().any(|given| *given == name || (given.ends_with(SHORT) && name == full(given)))
    }
}

fn full(short: &str) -> String {
    format!("{short}_SHA256")
}

fn is_of_tls13(suite: &SupportedCipherSuite) -> bool {
    matches!(suite, SupportedCipherSuite::Tls13(_))
}

fn go_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.strip_prefix(TLS13).map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

fn is_weak(name: &str) -> bool {
    WEAK.contains(&name)
}

fn is_known(name: &str) -> bool {
    let of_library = |name: &str| default_provider().cipher_suites.iter().any(|suite| go_name(suite) == name);
    is_weak(name) || of_library(name) || (name.ends_with(SHORT) && of_library(&full(name)))
}

/// The suites that can be chosen.
fn known() -> String {
    let suites = default_provider().cipher_suites;
    let names: Vec<_> = suites.iter().filter(|suite| !is_of_tls13(suite)).map(go_name).collect();
    names.join(", ")
}

impl FromStr for TlsVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TLS1.2" => Ok(Self::Tls12),
            "TLS1.3" => Ok(Self::Tls13),
            _ => Err("unexpected TLS version (must be one of: TLS1.2, TLS1.3)"),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS1.2",
            Self::Tls13 => "TLS1.3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(names: &[&str]) -> Algorithms {
        Algorithms { cipher_suites: names.iter().map(ToString::to_string).collect(), ..Algorithms::default() }
    }

    #[test]
    fn what_is_named_is_spoken_and_all_of_tls13() {
        let chosen = suites(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"]);
        chosen.validate().unwrap();
        let provider = chosen.provider();
        let tls12: Vec<_> = provider.cipher_suites.iter().filter(|suite| !is_of_tls13(suite)).map(go_name).collect();
        let mut expected = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
        expected.sort_unstable();
        let mut tls12 = tls12;
        tls12.sort_unstable();
        assert_eq!(tls12, expected);
        assert_eq!(provider.cipher_suites.iter().filter(|suite| is_of_tls13(suite)).count(), 3);
    }

    #[test]
    fn weak_suites_are_left_out_and_unknown_ones_refused() {
        let weak = suites(&["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_AES_128_GCM_SHA256"]);
        weak.validate().unwrap();
        assert_eq!(weak.weak_suites(), ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        let only = Algorithms { max_version: Some(TlsVersion::Tls12), ..weak };
        assert_eq!(only.validate(), Err(AlgorithmsError::OnlyWeak));
        let unknown = suites(&["TLS_ROT13"]).validate().unwrap_err().to_string();
        assert!(unknown.contains("unexpected TLS cipher suite \"TLS_ROT13\""), "{unknown}");
    }

    #[test]
    fn versions_and_suites_go_together_as_in_etcd() {
        let (min_version, max_version) = (Some(TlsVersion::Tls13), Some(TlsVersion::Tls12));
        let above = Algorithms { min_version, max_version, ..Algorithms::default() };
        let line = above.validate().unwrap_err().to_string();
        assert!(line.contains("min version (TLS1.3) is greater than max version (TLS1.2)"), "{line}");
        let of_tls13 = Algorithms { min_version, ..suites(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]) };
        assert_eq!(of_tls13.validate(), Err(AlgorithmsError::SuitesOfTls13));
    }
}
