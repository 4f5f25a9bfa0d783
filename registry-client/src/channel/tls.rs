//! TLS to the registry: what is trusted, what is shown, and the files in which both are.
//!
//! Files are read for each connection, so that what replaces them is used from the next one on. Nothing here knows of
//! what is spoken over it but its name, which the handshake has to agree on.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2::WANTS_CERTIFICATE;
use crate::error::Error;
use crate::instance::Endpoint;

/// Whom to trust as the registry, and who to be to it; see [`crate::RegistryBuilder::tls`]. A health check over TLS has its own,
/// for the server that it asks.
///
/// Files are read anew for each connection, so that a certificate that is replaced in time never needs a restart. A file
/// that cannot be used is told by the errors of calls, with its name, and is read again with the next attempt.
///
/// ```
/// use registry_client::{Registry, TlsConfig};
///
/// let tls = TlsConfig::new()
///     .ca_file("/etc/registry/ca.pem")
///     .identity_files("/etc/registry/client.pem", "/etc/registry/client.key");
/// let registry = Registry::builder(["https://10.0.0.1:2379"]).tls(tls).build()?;
/// # Ok::<(), registry_client::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it is for `RegistryBuilder::tls` and `HealthCheck::tls`"]
pub struct TlsConfig {
    authorities: Vec<Pem>,
    /// Certificate chain and key.
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

/// Where PEM text is.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    /// With what it is, for messages.
    Given(&'static str, Arc<[u8]>),
}

impl TlsConfig {
    /// Trusts nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file of PEM certificates; the registry's certificate has to be signed by one of them. It may be given several times.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities.push(Pem::File(file.into()));
        self
    }

    /// As [`TlsConfig::ca_file`], with the PEM text itself.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(Pem::Given("the CA", pem.into().into()));
        self
    }

    /// The PEM files of the client's certificate, with those that lead to its CA behind it, and of its private key: for a
    /// registry that asks for certificates.
    pub fn identity_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((Pem::File(certificate.into()), Pem::File(key.into())));
        self
    }

    /// As [`TlsConfig::identity_files`], with the PEM texts themselves.
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let certificate = Pem::Given("the client's certificate", certificate.into().into());
        self.identity = Some((certificate, Pem::Given("the client's key", key.into().into())));
        self
    }

    /// The name or address that the registry's certificate has to carry; unless given, the one in the endpoint.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// What can be known to be wrong before anything is read.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.authorities.is_empty() {
            return Err(Error::Setting(
                "TLS that trusts nobody: name the server's CA with TlsConfig::ca_file".to_owned(),
            ));
        }
        self.server_name.as_deref().map_or(Ok(()), |name| named(name).map(drop).map_err(Error::Setting))
    }

    /// The client shows a certificate to who asks.
    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Secures a connection to the endpoint, for a protocol by its name in TLS (ALPN).
    pub(crate) async fn secure(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
        protocol: &str,
    ) -> Result<TlsStream<TcpStream>, String> {
        let mut config = self.load().await?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = named(self.server_name.as_deref().unwrap_or(endpoint.server_name()))?;
        let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        secured.map_err(|error| format!("TLS: {error}{}", self.mend(&error)))
    }

    async fn load(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            for certificate in certificates(authority).await? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("{authority}: {error}: give the certificate of a CA"))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(roots);
        Ok(match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let unusable = |error| format!("{certificate} with {key}: {error}: give a certificate and its own key");
                let chain = certificates(certificate).await?;
                builder.with_client_auth_cert(chain, private_key(key).await?).map_err(unusable)?
            }
        })
    }

    /// What to do about a handshake that failed.
    fn mend(&self, error: &std::io::Error) -> String {
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match cause {
            // Two authorities may have one name, and differ in their keys.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                let known: Vec<_> = self.authorities.iter().map(ToString::to_string).collect();
                format!(": its CA is not in {}; add it with TlsConfig::ca_file", known.join(", "))
            }
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => ": name what it carries with TlsConfig::server_name".to_owned(),
            Some(rustls::Error::AlertReceived(
                AlertDescription::BadCertificate | AlertDescription::CertificateRequired | AlertDescription::UnknownCA,
            )) => WANTS_CERTIFICATE.to_owned(),
            Some(rustls::Error::InvalidMessage(_)) => ": is this port spoken to with http://?".to_owned(),
            _ => String::new(),
        }
    }
}

impl Pem {
    async fn read(&self) -> Result<Arc<[u8]>, String> {
        match self {
            Self::Given(_, bytes) => Ok(Arc::clone(bytes)),
            Self::File(path) => {
                let unreadable = |error| format!("{self}: {error}: give a file that this process may read");
                tokio::fs::read(path).await.map(Into::into).map_err(unreadable)
            }
        }
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Given(what, _) => formatter.write_str(what),
        }
    }
}

/// Keys are not shown.
impl fmt::Debug for Pem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

async fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = pem.read().await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| no_pem(pem, &error))?;
    if found.is_empty() {
        return Err(format!("{pem} holds no certificate: give PEM, as in -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

async fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&pem.read().await?).map_err(|error| no_pem(pem, &error))
}

fn no_pem(pem: &Pem, error: &dyn StdError) -> String {
    format!("{pem}: {error}: give PEM, as in -----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----")
}

fn named(name: &str) -> Result<ServerName<'static>, String> {
    let none = |_| format!("{name:?} is no name that a certificate can carry: give a host's name or an address");
    ServerName::try_from(name.to_owned()).map_err(none)
}
