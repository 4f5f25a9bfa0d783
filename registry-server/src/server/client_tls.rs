//! TLS for clients, made of the settings.

use crate::storage::{DataDir, Vfs};
use crate::tls::{Acceptor, Credentials, SelfSigned, Settings, TlsError};

use super::config::Config;
use super::urls::MemberUrl;

/// What clients may speak, by preference: gRPC needs the first, probes and curl know the second.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Reads the certificates, or makes one in the data directory, which is locked; none where no URL needs one. Blocks.
///
/// # Errors
/// A file that cannot be used.
pub(super) fn open<V: Vfs>(config: &Config, vfs: &V, data_dir: &DataDir<V>) -> Result<Option<Acceptor>, TlsError> {
    let given = &config.client_tls;
    let mut urls = config.listen_client_urls.iter().chain(&config.listen_metrics_urls);
    if !urls.any(|url| url.scheme().is_secure()) {
        return Ok(None);
    }
    let settings = if given.cert_file.is_some() {
        Settings { auto: false, ..given.clone() }
    } else {
        let dir = data_dir.root().join("fixtures").join("client");
        let hosts = config.listen_client_urls.iter().map(MemberUrl::host).collect();
        let made = SelfSigned { dir, hosts, validity_years: config.self_signed_cert_validity }.make(vfs)?;
        Settings { algorithms: given.algorithms.clone(), ..made }
    };
    // As in etcd, a client's certificate counts wherever it comes from.
    let settings = Settings { accepts_only: true, skip_client_san_verification: true, ..settings };
    let asks_for_certificates = settings.asks_for_certificates();
    let credentials = Credentials::load(vfs.clone(), settings, &PROTOCOLS)?;
    tracing::info!(asks_for_certificates, is_self_signed = given.cert_file.is_none(), "TLS for clients");
    Ok(Some(Acceptor::new(credentials)))
}
