//! The flags of TLS, for clients and between members, as etcd has them.

use std::path::PathBuf;

use clap::Args;

use super::go_values;
use crate::tls::{Algorithms, Settings, TlsVersion};

/// The flags of TLS for clients, and of what is spoken by all. An empty value is none, as to etcd.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS for clients")]
pub(super) struct ClientTlsFlags {
    /// The certificate for clients, in PEM; a file that was replaced is used by the next connection.
    #[arg(long, value_name = "FILE", value_parser = file)]
    cert_file: Option<File>,
    /// The private key of --cert-file, in PEM.
    #[arg(long, value_name = "FILE", value_parser = file)]
    key_file: Option<File>,
    /// Checked as in etcd, and used for nothing: this server is nobody's client.
    #[arg(long, value_name = "FILE", value_parser = file)]
    client_cert_file: Option<File>,
    /// The private key of --client-cert-file.
    #[arg(long, value_name = "FILE", value_parser = file)]
    client_key_file: Option<File>,
    /// The CAs of clients, in PEM. Whoever connects must then present a certificate of theirs.
    #[arg(long, value_name = "FILE", value_parser = file)]
    trusted_ca_file: Option<File>,
    /// Whoever connects must present a certificate [of the system's CAs, without --trusted-ca-file].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    client_cert_auth: bool,
    /// Use a certificate that this server makes for itself: encryption, and nobody is verified.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    auto_tls: bool,
    /// The certificates of clients that were revoked, as a CRL in PEM or DER.
    #[arg(long, value_name = "FILE", value_parser = file)]
    client_crl_file: Option<File>,
    /// The names of which a client's certificate must have one [default: all].
    #[arg(long, value_name = "NAMES", value_parser = names)]
    client_cert_allowed_hostname: Option<Names>,
    /// The common names that clients may have [default: all]; in etcd only in its file.
    #[arg(long, value_name = "NAMES", value_parser = names)]
    client_cert_allowed_cn: Option<Names>,
    /// The cipher suites of TLS 1.2, for clients and members [default: all].
    #[arg(long, value_name = "NAMES", value_parser = names)]
    cipher_suites: Option<Names>,
    /// The lowest version, for clients and members: TLS1.2 or TLS1.3 [default: TLS1.2].
    #[arg(long, value_name = "VERSION", value_parser = version)]
    tls_min_version: Option<Version>,
    /// The highest version, for clients and members [default: the highest there is].
    #[arg(long, value_name = "VERSION", value_parser = version)]
    tls_max_version: Option<Version>,
}

/// The flags of TLS between members. An empty value is none, as to etcd.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS between members")]
pub(super) struct PeerTlsFlags {
    /// This member's certificate, in PEM; read again for each connection.
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_cert_file: Option<File>,
    /// The private key of --peer-cert-file, in PEM.
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_key_file: Option<File>,
    /// What is presented to other members [default: --peer-cert-file].
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_client_cert_file: Option<File>,
    /// The private key of --peer-client-cert-file.
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_client_key_file: Option<File>,
    /// The CAs that members trust, in PEM. Whoever connects must then present a certificate of theirs [default: the system's].
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_trusted_ca_file: Option<File>,
    /// Whoever connects must present a certificate.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    peer_client_cert_auth: bool,
    /// Use a certificate that this member makes for itself: encryption, and nobody is verified.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    peer_auto_tls: bool,
    /// How long a certificate is valid that is made here, in years.
    #[arg(long, value_name = "YEARS", default_value_t = 1)]
    pub(super) self_signed_cert_validity: u32,
    /// The certificates that were revoked, as a CRL in PEM or DER.
    #[arg(long, value_name = "FILE", value_parser = file)]
    peer_crl_file: Option<File>,
    /// The common names that members may have [default: all].
    #[arg(long, value_name = "NAMES", value_parser = names)]
    peer_cert_allowed_cn: Option<Names>,
    /// The names of which a member's certificate must have one [default: all].
    #[arg(long, value_name = "NAMES", value_parser = names)]
    peer_cert_allowed_hostname: Option<Names>,
    /// Do not compare the addresses in a member's certificate with the one that it connects from.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    peer_skip_client_san_verification: bool,
}

/// A file, or none for an empty value.
#[derive(Debug, Clone)]
struct File(Option<PathBuf>);

/// Several names in one value, separated by commas.
#[derive(Debug, Clone)]
struct Names(Vec<String>);

/// A version, or none for an empty value.
#[derive(Debug, Clone)]
struct Version(Option<TlsVersion>);

impl File {
    fn given(flag: Option<Self>) -> Option<PathBuf> {
        flag.and_then(|file| file.0)
    }
}

impl Names {
    fn given(flag: Option<Self>) -> Vec<String> {
        flag.map_or_else(Vec::new, |names| names.0)
    }
}

impl ClientTlsFlags {
    /// What is spoken by all.
    pub(super) fn algorithms(&self) -> Algorithms {
        Algorithms {
            cipher_suites: Names::given(self.cipher_suites.clone()),
            min_version: self.tls_min_version.as_ref().and_then(|version| version.0),
            max_version: self.tls_max_version.as_ref().and_then(|version| version.0),
        }
    }

    pub(super) fn into_settings(self) -> Settings {
        Settings {
            algorithms: self.algorithms(),
            cert_file: File::given(self.cert_file),
            key_file: File::given(self.key_file),
            client_cert_file: File::given(self.client_cert_file),
            client_key_file: File::given(self.client_key_file),
            trusted_ca_file: File::given(self.trusted_ca_file),
            client_cert_auth: self.client_cert_auth,
            auto: self.auto_tls,
            crl_file: File::given(self.client_crl_file),
            allowed_cns: Names::given(self.client_cert_allowed_cn),
            allowed_hostnames: Names::given(self.client_cert_allowed_hostname),
            ..Settings::default()
        }
    }
}

impl PeerTlsFlags {
    pub(super) fn into_settings(self, algorithms: Algorithms) -> Settings {
        Settings {
            cert_file: File::given(self.peer_cert_file),
            key_file: File::given(self.peer_key_file),
            client_cert_file: File::given(self.peer_client_cert_file),
            client_key_file: File::given(self.peer_client_key_file),
            trusted_ca_file: File::given(self.peer_trusted_ca_file),
            client_cert_auth: self.peer_client_cert_auth,
            auto: self.peer_auto_tls,
            crl_file: File::given(self.peer_crl_file),
            allowed_cns: Names::given(self.peer_cert_allowed_cn),
            allowed_hostnames: Names::given(self.peer_cert_allowed_hostname),
            skip_client_san_verification: self.peer_skip_client_san_verification,
            accepts_only: false,
            algorithms,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap takes parsers that may fail")]
fn file(text: &str) -> Result<File, std::convert::Infallible> {
    Ok(File((!text.is_empty()).then(|| text.into())))
}

#[expect(clippy::unnecessary_wraps, reason = "clap takes parsers that may fail")]
fn names(text: &str) -> Result<Names, std::convert::Infallible> {
    Ok(Names(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()))
}

fn version(text: &str) -> Result<Version, &'static str> {
    if text.is_empty() {
        return Ok(Version(None));
    }
    text.parse().map(Some).map(Version)
}
