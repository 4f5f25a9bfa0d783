//! A certificate with its key, checked for what can be checked before anybody sees it.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, Error, KeyUsage};

use super::error::TlsError;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// To accept connections of clients, whichever library they verify with.
    Accept,
    /// To accept those of members and to connect to them: they verify as this library does.
    AcceptAndConnect,
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// There is none, or one that is no PEM.
pub(super) fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::BadCertificate { file: file.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { file: file.to_owned() });
    }
    Ok(found)
}

/// A certificate and the key that belongs to it.
///
/// # Errors
/// They cannot be read, do not belong together, are out of date, or are of no use to a server or client.
pub(super) fn identity(
    provider: &CryptoProvider,
    usage: Usage,
    (cert_file, cert): (&Path, &[u8]),
    (key_file, key): (&Path, &[u8]),
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(cert_file, cert)?;
    check(cert_file, &chain[0], usage)?;
    // What exactly is wrong with a key stays untold: errors may quote it.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey { file: key_file.to_owned() })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| TlsError::BadKey { file: key_file.to_owned() })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Mismatch { key: key_file.to_owned(), cert: cert_file.to_owned() })
        }
        // A kind of key that does not tell its public half is found out by the other side.
        Ok(()) | Err(_) => Ok(Arc::new(identity)),
    }
}

/// What does not depend on who has signed it, which is verified first.
fn check(file: &Path, cert: &CertificateDer<'_>, usage: Usage) -> Result<(), TlsError> {
    let file = file.to_owned();
    let parsed = match EndEntityCert::try_from(cert) {
        Ok(parsed) => parsed,
        Err(error) => return Err(TlsError::BadCertificate { file, reason: error.to_string() }),
    };
    let outcome = parsed.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[],
        &[],
        UnixTime::now(),
        KeyUsage::server_auth(),
        None,
        None,
    );
    match outcome.map(drop) {
        Err(Error::CertExpired { time, not_after }) => {
            Err(TlsError::Expired { file, seconds: time.as_secs().saturating_sub(not_after.as_secs()) })
        }
        Err(Error::CertNotValidYet { time, not_before }) => {
            Err(TlsError::NotYetValid { file, seconds: not_before.as_secs().saturating_sub(time.as_secs()) })
        }
        // Go's clients take a certificate that signed itself, if they are told to trust it.
        Err(Error::CaUsedAsEndEntity) if usage == Usage::AcceptAndConnect => Err(TlsError::IsCa { file }),
        // Here nobody has signed it; whether somebody has is the other side's business.
        Ok(()) | Err(_) => Ok(()),
    }
}
