//! The flags of TLS between members, as etcd has them.

use std::path::PathBuf;

use clap::Args;

use super::go_values;
use crate::tls::Settings;

/// Those flags. An empty value is none, as to etcd.
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

impl PeerTlsFlags {
    pub(super) fn into_settings(self) -> Settings {
        let file = |flag: Option<File>| flag.and_then(|file| file.0);
        let names = |flag: Option<Names>| flag.map_or_else(Vec::new, |names| names.0);
        Settings {
            cert_file: file(self.peer_cert_file),
            key_file: file(self.peer_key_file),
            client_cert_file: file(self.peer_client_cert_file),
            client_key_file: file(self.peer_client_key_file),
            trusted_ca_file: file(self.peer_trusted_ca_file),
            client_cert_auth: self.peer_client_cert_auth,
            auto: self.peer_auto_tls,
            crl_file: file(self.peer_crl_file),
            allowed_cns: names(self.peer_cert_allowed_cn),
            allowed_hostnames: names(self.peer_cert_allowed_hostname),
            skip_client_san_verification: self.peer_skip_client_san_verification,
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
