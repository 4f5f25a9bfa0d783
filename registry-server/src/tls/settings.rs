//! What TLS is told to do: plain fields, and the check that they go together.

use std::path::PathBuf;

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
}

/// Settings that do not go together; the text names flags, which begin with `--` and the prefix that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// One is of no use without the other.
    #[error("--{prefix}{given} is given without --{prefix}{missing}: give both or neither")]
    Half {
        /// What all flags begin with.
        prefix: &'static str,
        /// The one that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Two ways to say who is let in.
    #[error("--{prefix}cert-allowed-cn and --{prefix}cert-allowed-hostname are both given: give one of them")]
    TwoRules {
        /// What all flags begin with.
        prefix: &'static str,
    },
    /// Nobody has to present what the flag is about.
    #[error("--{prefix}{flag} is about certificates that are presented: give --{prefix}trusted-ca-file as well")]
    NobodyPresents {
        /// What all flags begin with.
        prefix: &'static str,
        /// The one that would have no effect.
        flag: &'static str,
    },
    /// A certificate that vouches for itself is verified by nobody.
    #[error(
        "--{prefix}{flag} does not go with --{prefix}auto-tls, which verifies nobody: leave one out, or give \
         --{prefix}cert-file and --{prefix}key-file"
    )]
    AutoVerifiesNobody {
        /// What all flags begin with.
        prefix: &'static str,
        /// The one that would have no effect.
        flag: &'static str,
    },
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

    /// Checks that the settings go together; flags are named with `prefix` behind their dashes.
    ///
    /// # Errors
    /// The first that do not.
    pub fn validate(&self, prefix: &'static str) -> Result<(), SettingsError> {
        let pairs = [
            (("cert-file", self.cert_file.is_some()), ("key-file", self.key_file.is_some())),
            (
                ("client-cert-file", self.client_cert_file.is_some()),
                ("client-key-file", self.client_key_file.is_some()),
            ),
        ];
        for ((one, has_one), (other, has_other)) in pairs {
            if has_one != has_other {
                let (given, missing) = if has_one { (one, other) } else { (other, one) };
                return Err(SettingsError::Half { prefix, given, missing });
            }
        }
        if self.client_cert_file.is_some() && self.cert_file.is_none() {
            return Err(SettingsError::Half { prefix, given: "client-cert-file", missing: "cert-file" });
        }
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            return Err(SettingsError::TwoRules { prefix });
        }
        if self.auto && self.cert_file.is_none() {
            let flag = self.first_of_presented(true);
            return flag.map_or(Ok(()), |flag| Err(SettingsError::AutoVerifiesNobody { prefix, flag }));
        }
        match self.first_of_presented(false) {
            Some(flag) if !self.asks_for_certificates() => Err(SettingsError::NobodyPresents { prefix, flag }),
            _ => Ok(()),
        }
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
        settings.validate("peer-").unwrap_err().to_string()
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        given().validate("peer-").unwrap();
        let no_key = refusal(&Settings { key_file: None, ..given() });
        assert!(no_key.contains("--peer-cert-file") && no_key.contains("--peer-key-file"), "{no_key}");
        let no_cert = refusal(&Settings { client_key_file: path("k"), ..given() });
        assert!(no_cert.starts_with("--peer-client-key-file is given without --peer-client-cert-file"), "{no_cert}");
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        let crl = Settings { trusted_ca_file: None, crl_file: path("crl"), ..given() };
        assert!(refusal(&crl).contains("--peer-crl-file"));
        Settings { client_cert_auth: true, ..crl }.validate("peer-").unwrap();
        let auto = Settings { auto: true, ..Settings::default() };
        auto.validate("peer-").unwrap();
        let both = refusal(&Settings { client_cert_auth: true, ..auto });
        assert!(both.contains("--peer-client-cert-auth") && both.contains("--peer-auto-tls"), "{both}");
    }

    #[test]
    fn one_rule_says_who_is_let_in() {
        let both = Settings { allowed_cns: vec!["a".into()], allowed_hostnames: vec!["b".into()], ..given() };
        assert!(matches!(both.validate(""), Err(SettingsError::TwoRules { .. })));
    }
}
