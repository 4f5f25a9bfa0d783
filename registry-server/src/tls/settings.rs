//! What TLS is told to do: plain fields, and the check that they go together.

use std::path::PathBuf;

use super::algorithms::{Algorithms, AlgorithmsError};

/// Which files TLS uses, and whom it lets in. The names are those of etcd's flags, without what they begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The certificate, in PEM, with the intermediate ones behind it.
    pub cert_file: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key_file: Option<PathBuf>,
    /// What is presented where this side connects; none for `cert_file`.
    pub client_cert_file: Option<PathBuf>,
    /// Its private key.
    pub client_key_file: Option<PathBuf>,
    /// The CAs that vouch for the other side, in PEM; none for those of the system. Where it is given, whoever connects must
    /// present a certificate of theirs.
    pub trusted_ca_file: Option<PathBuf>,
    /// Whoever connects must present a certificate, also without `trusted_ca_file`.
    pub client_cert_auth: bool,
    /// Use a certificate that vouches for itself: encryption, and nobody is verified. Only without `cert_file`.
    pub auto: bool,
    /// What was revoked, in PEM or DER.
    pub crl_file: Option<PathBuf>,
    /// The common names that are let in; empty for all.
    pub allowed_cns: Vec<String>,
    /// The names of which a certificate must have one to be let in; empty for all.
    pub allowed_hostnames: Vec<String>,
    /// Do not compare the addresses in a certificate with the one that it comes from.
    pub skip_client_san_verification: bool,
    /// This side connects to nobody, so that nobody is verified where nobody has to present a certificate.
    pub accepts_only: bool,
    /// What is spoken.
    pub algorithms: Algorithms,
}

/// What the flags are called that the settings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagNames {
    /// What all of them begin with behind their dashes.
    all: &'static str,
    /// What those begin with that are about certificates that are presented.
    presented: &'static str,
}

impl FlagNames {
    /// Those of TLS between members.
    pub const PEERS: Self = Self { all: "peer-", presented: "peer-" };
    /// Those of TLS for clients.
    pub const CLIENTS: Self = Self { all: "", presented: "client-" };

    fn flag(self, name: &str) -> String {
        let is_about_presented = ["crl-file", "cert-allowed-cn", "cert-allowed-hostname"].contains(&name);
        format!("--{}{name}", if is_about_presented { self.presented } else { self.all })
    }
}

/// Settings that do not go together; the text names flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// One is of no use without the other.
    #[error("{given} is given without {missing}: give both or neither")]
    Half {
        /// The one that is there.
        given: String,
        /// The one that is not.
        missing: String,
    },
    /// Two ways to say who is let in.
    #[error("{one} and {other} are both given: give one of them")]
    TwoRules {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// Nobody has to present what the flag is about.
    #[error("{flag} is about certificates that are presented: give {ca} as well")]
    NobodyPresents {
        /// The one that would have no effect.
        flag: String,
        /// The one that asks for certificates.
        ca: String,
    },
    /// A certificate that vouches for itself is verified by nobody.
    #[error("{flag} does not go with {auto}, which verifies nobody: leave one out, or give a certificate and its key")]
    AutoVerifiesNobody {
        /// The one that would have no effect.
        flag: String,
        /// The one that verifies nobody.
        auto: String,
    },
    /// Versions and cipher suites.
    #[error(transparent)]
    Algorithms(#[from] AlgorithmsError),
}

impl Settings {
    /// Whether there is a certificate to listen with.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.cert_file.is_some() || self.auto
    }

    /// Whether whoever connects must present a certificate, as in etcd.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.trusted_ca_file.is_some() || self.client_cert_auth
    }

    /// Whether somebody is verified: whoever connects, or whoever is connected to.
    pub(super) fn verifies(&self) -> bool {
        self.asks_for_certificates() || !self.accepts_only
    }

    /// The files that are named, in an order that does not change.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [&self.cert_file, &self.key_file, &self.client_cert_file, &self.client_key_file];
        files.into_iter().chain([&self.trusted_ca_file, &self.crl_file]).flatten()
    }

    /// Checks that the settings go together; what is wrong is told with the flags' `names`.
    ///
    /// # Errors
    /// The first that do not.
    pub fn validate(&self, names: FlagNames) -> Result<(), SettingsError> {
        self.algorithms.validate()?;
        let half = |given, missing| Err(SettingsError::Half { given: names.flag(given), missing: names.flag(missing) });
        let pairs = [
            (("cert-file", self.cert_file.is_some()), ("key-file", self.key_file.is_some())),
            (
                ("client-cert-file", self.client_cert_file.is_some()),
                ("client-key-file", self.client_key_file.is_some()),
            ),
        ];
        for ((one, has_one), (other, has_other)) in pairs {
            if has_one != has_other {
                return if has_one { half(one, other) } else { half(other, one) };
            }
        }
        if self.client_cert_file.is_some() && self.cert_file.is_none() {
            return half("client-cert-file", "cert-file");
        }
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            let (one, other) = (names.flag("cert-allowed-cn"), names.flag("cert-allowed-hostname"));
            return Err(SettingsError::TwoRules { one, other });
        }
        let is_auto = self.auto && self.cert_file.is_none();
        let Some(flag) = self.first_of_presented(is_auto).map(|flag| names.flag(flag)) else { return Ok(()) };
        if is_auto {
            return Err(SettingsError::AutoVerifiesNobody { flag, auto: names.flag("auto-tls") });
        }
        if self.asks_for_certificates() {
            return Ok(());
        }
        Err(SettingsError::NobodyPresents { flag, ca: names.flag("trusted-ca-file") })
    }

    /// The first flag that is given and is about certificates that are presented; with those that ask for them or without.
    fn first_of_presented(&self, with_asking: bool) -> Option<&'static str> {
        let flags = [
            ("trusted-ca-file", with_asking && self.trusted_ca_file.is_some()),
            ("client-cert-auth", with_asking && self.client_cert_auth),
            ("crl-file", self.crl_file.is_some()),
            ("cert-allowed-cn", !self.allowed_cns.is_empty()),
            ("cert-allowed-hostname", !self.allowed_hostnames.is_empty()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<PathBuf> {
        Some(text.into())
    }

    fn given() -> Settings {
        Settings { cert_file: path("c"), key_file: path("k"), trusted_ca_file: path("ca"), ..Settings::default() }
    }

    fn refusal(settings: &Settings) -> String {
        settings.validate(FlagNames::PEERS).unwrap_err().to_string()
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        given().validate(FlagNames::PEERS).unwrap();
        let no_key = refusal(&Settings { key_file: None, ..given() });
        assert!(no_key.contains("--peer-cert-file") && no_key.contains("--peer-key-file"), "{no_key}");
        let no_cert = refusal(&Settings { client_key_file: path("k"), ..given() });
        assert!(no_cert.starts_with("--peer-client-key-file is given without --peer-client-cert-file"), "{no_cert}");
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        let crl = Settings { trusted_ca_file: None, crl_file: path("crl"), ..given() };
        assert!(refusal(&crl).contains("--peer-crl-file"));
        Settings { client_cert_auth: true, ..crl }.validate(FlagNames::PEERS).unwrap();
        let auto = Settings { auto: true, ..Settings::default() };
        auto.validate(FlagNames::PEERS).unwrap();
        let both = refusal(&Settings { client_cert_auth: true, ..auto });
        assert!(both.contains("--peer-client-cert-auth") && both.contains("--peer-auto-tls"), "{both}");
    }

    #[test]
    fn one_rule_says_who_is_let_in() {
        let both = Settings { allowed_cns: vec!["a".into()], allowed_hostnames: vec!["b".into()], ..given() };
        assert!(matches!(both.validate(FlagNames::CLIENTS), Err(SettingsError::TwoRules { .. })));
    }

    #[test]
    fn flags_for_clients_are_called_as_in_etcd() {
        let crl = Settings { trusted_ca_file: None, crl_file: path("crl"), ..given() };
        let line = crl.validate(FlagNames::CLIENTS).unwrap_err().to_string();
        assert!(line.starts_with("--client-crl-file is about") && line.contains("--trusted-ca-file"), "{line}");
        let half = Settings { key_file: None, ..given() };
        let line = half.validate(FlagNames::CLIENTS).unwrap_err().to_string();
        assert!(line.starts_with("--cert-file is given without --key-file"), "{line}");
    }
}
