//! TLS between members, made of the settings: how peers are let in, and how they are connected to.

use crate::storage::{DataDir, Vfs};
use crate::tls::{Acceptor, Connector, Credentials, SelfSigned, Settings, TlsError};

use super::config::Config;
use super::urls::MemberUrl;

/// What members speak, by preference.
const PROTOCOLS: [&[u8]; 1] = [b"h2"];

/// Both sides of TLS between members; nothing where there is no certificate.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerTls {
    pub(super) acceptor: Option<Acceptor>,
    pub(super) connector: Option<Connector>,
}

impl PeerTls {
    /// Reads the certificates, or makes one in the data directory, which is locked. Blocks.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn open<V: Vfs>(config: &Config, vfs: &V, data_dir: &DataDir<V>) -> Result<Self, TlsError> {
        let given = &config.peer_tls;
        if !given.has_certificate() {
            return Ok(Self::default());
        }
        let settings = if given.cert_file.is_some() {
            Settings { auto: false, ..given.clone() }
        } else {
            let dir = data_dir.root().join("fixtures").join("peer");
            let hosts = config.listen_peer_urls.iter().map(MemberUrl::host).collect();
            let made = SelfSigned { dir, hosts, validity_years: config.self_signed_cert_validity }.make(vfs)?;
            Settings { algorithms: given.algorithms.clone(), ..made }
        };
        let asks_for_certificates = settings.asks_for_certificates();
        let credentials = Credentials::load(vfs.clone(), settings, &PROTOCOLS)?;
        tracing::info!(asks_for_certificates, verifies_nobody = given.cert_file.is_none(), "TLS between members");
        let (acceptor, connector) = (Acceptor::new(credentials.clone()), Connector::new(credentials));
        Ok(Self { acceptor: Some(acceptor), connector: Some(connector) })
    }
}
