//! TLS to endpoints: whom to trust, and who to be to them. Feature `tls`.
//!
//! The endpoint says by its scheme whether it is secured and by which name its certificate goes; the connector says
//! which protocol is spoken inside. Nothing here reads files.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::{DialError, Protocol};
use crate::target::Target;

/// Whom to trust as an endpoint whose scheme is `https`, and who to be to it.
///
/// The server's certificate has to carry the endpoint's
/// [`server_name`](registry_client::Endpoint::server_name), which is its host unless it was registered with another.
/// Which protocol is spoken (ALPN) is the connector's to say.
///
/// ```no_run
/// use tower_discovery::{ClientTls, GrpcConnect};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn read(_: &str) -> Vec<u8> { Vec::new() }
/// let tls = ClientTls::trusting(read("ca.pem"))?.with_identity(read("client.pem"), read("client.key"))?;
/// let connector = GrpcConnect::new().tls(tls);
/// # let _ = connector;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it is for a connector"]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// What it was made of, as long as an identity can be added.
    roots: Option<Arc<RootCertStore>>,
}

/// Why TLS cannot be set up with what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text has no certificate, or one that cannot be read.
    #[error("{what} has no readable PEM certificate: give one that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// Which of the texts.
        what: &'static str,
    },
    /// The text has no private key.
    #[error("the client's key is no readable PEM private key: give one in PKCS #8, PKCS #1 or SEC1")]
    NoKey,
    /// The settings were given as rustls' own; an identity belongs in there.
    #[error("an identity cannot be added to a rustls configuration: put it into that")]
    Fixed,
    /// What was given is not usable: a certificate that is no CA, or one that does not belong to the key.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

impl ClientTls {
    /// Trusts the CAs in a PEM text, and shows no certificate.
    ///
    /// # Errors
    /// When no certificate is in it, or one that cannot be a CA's.
    pub fn trusting(ca_pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("the CA", ca_pem.as_ref())? {
            roots.add(certificate)?;
        }
        let roots = Arc::new(roots);
        Ok(Self { config: Arc::new(config(&roots, None)?), roots: Some(roots) })
    }

    /// Shows this certificate to servers that ask for one: PEM texts of the certificate, with those that lead to its CA
    /// behind it, and of its private key.
    ///
    /// # Errors
    /// When a text has not what it should have, the two do not belong together, or the settings are those of
    /// [`from_rustls`](Self::from_rustls).
    pub fn with_identity(self, chain_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let roots = self.roots.ok_or(TlsError::Fixed)?;
        let chain = certificates("the client's certificate", chain_pem.as_ref())?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_ref()).map_err(|_| TlsError::NoKey)?;
        Ok(Self { config: Arc::new(config(&roots, Some((chain, key)))?), roots: Some(roots) })
    }

    /// Settings of rustls' own, for what is not offered here: certificates that change while the program runs, other
    /// roots, another cryptography. Their ALPN protocols are replaced by the connector's.
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        Self { config, roots: None }
    }

    /// Secures a connection to the endpoint, inside of which `protocol` will be spoken.
    pub(super) async fn secure(
        &self,
        target: &Target,
        protocol: Protocol,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let name = target.endpoint().server_name();
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| DialError::ServerName(name.to_owned()))?;
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let connecting = TlsConnector::from(Arc::new(config)).connect(server_name, stream);
        let stream = connecting.await.map_err(DialError::Tls)?;
        let agreed = stream.get_ref().1.alpn_protocol();
        match (protocol, agreed) {
            // Servers that know of no ALPN speak HTTP/1.1.
            (Protocol::Http1, None) => Ok(stream),
            (_, Some(agreed)) if agreed == protocol.alpn() => Ok(stream),
            _ => Err(DialError::Protocol(protocol.name())),
        }
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::NoCertificate { what })
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(roots: &Arc<RootCertStore>, identity: Option<Identity>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(Arc::clone(roots));
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key),
    }
}
