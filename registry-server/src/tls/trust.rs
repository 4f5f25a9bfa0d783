//! Whom this side believes: verifiers of the other side's certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::error::TlsError;
use super::identity::certificates;
use super::names;
use super::settings::Settings;

/// The CAs that are trusted, and what they have revoked.
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    rule: Rule,
}

/// Which of the certificates are let in that the CAs vouch for. Everyone where both are empty.
#[derive(Debug, Clone)]
struct Rule {
    common_names: Vec<String>,
    hostnames: Vec<String>,
}

/// The certificate is of a CA that is trusted, and not one of those that are let in.
#[derive(Debug, thiserror::Error)]
#[error("its certificate has none of the names that are let in here (its common name is {common_name:?})")]
struct NotLetIn {
    common_name: String,
}

impl Trust {
    /// Trusts the CAs in `pem`, which is from `file`. Of a system's list those are left out that cannot be used.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn new(
        settings: &Settings,
        (file, pem): (&Path, &[u8]),
        revoked: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for cert in certificates(file, pem)? {
            let added = roots.add(cert);
            if settings.trusted_ca_file.is_some() {
                let bad = |error: Error| TlsError::BadCertificate { file: file.to_owned(), reason: error.to_string() };
                added.map_err(bad)?;
            }
        }
        let revoked = match (&settings.crl_file, revoked) {
            (Some(file), Some(bytes)) => revocations(file, bytes)?,
            _ => Vec::new(),
        };
        let (common_names, hostnames) = (settings.allowed_cns.clone(), settings.allowed_hostnames.clone());
        Ok(Self { roots: Arc::new(roots), revoked, rule: Rule { common_names, hostnames } })
    }

    /// A verifier of whoever connects.
    ///
    /// # Errors
    /// The parts do not fit together.
    pub(super) fn of_clients(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider.clone())
            .with_crls(self.revoked.clone())
            // As in etcd: a list says who is out, and nothing about the CAs that it is not from.
            .allow_unknown_revocation_status();
        let inner = builder.build().map_err(|error| TlsError::Unusable(error.to_string()))?;
        Ok(Arc::new(LetIn { inner, rule: self.rule.clone() }))
    }

    /// A verifier of whoever is connected to.
    ///
    /// # Errors
    /// As above.
    pub(super) fn of_servers(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider.clone())
            .with_crls(self.revoked.clone())
            .allow_unknown_revocation_status();
        let inner = builder.build().map_err(|error| TlsError::Unusable(error.to_string()))?;
        Ok(Arc::new(LetIn { inner: inner as Arc<dyn ServerCertVerifier>, rule: self.rule.clone() }))
    }
}

/// The lists in a file: several in PEM, or one in DER as etcd has it.
fn revocations(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::BadRevocations { file: file.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    let mut found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        found.push(bytes.to_vec().into());
    }
    for list in &found {
        webpki::BorrowedCertRevocationList::from_der(list).map_err(|error| bad(error.to_string()))?;
    }
    Ok(found)
}

impl Rule {
    fn check(&self, cert: &CertificateDer<'_>) -> Result<(), Error> {
        if self.common_names.is_empty() && self.hostnames.is_empty() {
            return Ok(());
        }
        let common_name = names::common_name(cert).unwrap_or_default();
        let is_let_in =
            self.common_names.contains(&common_name) || self.hostnames.iter().any(|name| names::is_for(cert, name));
        if is_let_in {
            return Ok(());
        }
        let error = OtherError(Arc::new(NotLetIn { common_name }));
        Err(Error::InvalidCertificate(CertificateError::Other(error)))
    }
}

/// A verifier behind which a rule follows.
#[derive(Debug)]
struct LetIn<V: ?Sized> {
    inner: Arc<V>,
    rule: Rule,
}

impl ClientCertVerifier for LetIn<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(cert, chain, now)?;
        self.rule.check(cert)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for LetIn<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(cert, chain, name, ocsp, now)?;
        self.rule.check(cert)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes every certificate: whoever has it has its key, and nothing is known of who that is.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _cert: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
