//! What goes wrong with files and with handshakes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A file that TLS cannot use. Each text names it and the mend; no text has anything of a private key in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is not there, or may not be read.
    #[error("cannot read {}: {source}; check the path and that this user may read it", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} holds no certificate: give a PEM file with BEGIN CERTIFICATE in it", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// It begins like a certificate and goes on otherwise.
    #[error("{} has a certificate that cannot be read ({reason}): write the file anew", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is too old.
    #[error("the certificate in {} has expired {seconds} seconds ago: give one that is valid", file.display())]
    Expired {
        /// The file.
        file: PathBuf,
        /// Since when.
        seconds: u64,
    },
    /// It is for later, or this machine's clock is late.
    #[error("the certificate in {} is valid in {seconds} seconds only: check this machine's clock", file.display())]
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// For how long not.
        seconds: u64,
    },
    /// Nobody accepts a CA's own certificate from a server.
    #[error("the certificate in {} is a CA's own: give one that the CA has signed for this member", file.display())]
    IsCa {
        /// The file.
        file: PathBuf,
    },
    /// It holds something else, or a key under a password.
    #[error("{} holds no private key that can be read: give a PEM file with a key that has no password", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A kind of key that is not supported.
    #[error("the private key in {} cannot be used: give one of ECDSA P-256, P-384, Ed25519, or RSA from 2,048 bits on", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
    },
    /// Certificate and key are not of one pair.
    #[error("the private key in {} does not belong to the certificate in {}: give the two that were made together", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// It holds no list of what was revoked.
    #[error("{} holds no revocation list that can be read ({reason}): give a CRL in PEM or DER", file.display())]
    BadRevocations {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no file to read the system's CAs from.
    #[error("the system has no list of CAs where one is looked for: name a file of them as the trusted CA file")]
    NoSystemRoots,
    /// The files of a certificate that vouches for itself cannot be written.
    #[error("cannot write {}: {source}; check the data directory and its disk", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate that vouches for itself cannot be made.
    #[error("cannot make a certificate for {hosts}: {reason}")]
    NotMade {
        /// For whom it was to be.
        hosts: String,
        /// What is wrong.
        reason: String,
    },
    /// The parts do not make a configuration.
    #[error("the TLS settings cannot be used: {0}")]
    Unusable(String),
}

/// Why a connection was not secured.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other side is too slow, or silent.
    #[error("the handshake was not finished within {0:?}")]
    Timeout(Duration),
    /// The other side closed the connection before the end.
    #[error("the other side went away during the handshake")]
    Gone(#[source] io::Error),
    /// It does not speak TLS, or its certificate is refused, or it refuses ours.
    #[error("{reason}")]
    Refused {
        /// What is wrong, for people.
        reason: String,
        /// The same as it came.
        source: io::Error,
    },
    /// The certificate is for other addresses than the one that it comes from.
    #[error("the certificate is for {names}, and comes from {address}")]
    OtherAddress {
        /// The names in the certificate.
        names: String,
        /// Where it comes from.
        address: std::net::IpAddr,
    },
    /// What is to be connected to has no name that a certificate could have.
    #[error("{host:?} is no name that a certificate could have")]
    BadName {
        /// As it was given.
        host: String,
    },
}

impl HandshakeError {
    /// From what the TLS library makes of it.
    pub(super) fn from_io(source: io::Error) -> Self {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::Refused { reason: explain(error), source },
            None => Self::Gone(source),
        }
    }
}

/// The library's errors in words that say who did what.
fn explain(error: &rustls::Error) -> String {
    use rustls::CertificateError::{BadSignature, Other, Revoked, UnknownIssuer};
    use rustls::{AlertDescription, Error, InvalidMessage};
    match error {
        Error::NoCertificatesPresented => "it presents no certificate".to_owned(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".to_owned(),
        Error::InvalidCertificate(UnknownIssuer) => "its certificate is not of a CA that is trusted here".to_owned(),
        Error::InvalidCertificate(BadSignature) => {
            "its certificate is not of a CA that is trusted here, but of another one with the same name".to_owned()
        }
        Error::InvalidCertificate(Revoked) => "its certificate was revoked".to_owned(),
        Error::InvalidCertificate(Other(other)) => other.to_string(),
        Error::InvalidCertificate(other) => format!("its certificate is refused: {other}"),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it asks for a certificate, and none is configured here".to_owned()
            }
            AlertDescription::UnknownCA => "it does not trust the CA of this side's certificate".to_owned(),
            AlertDescription::DecryptError => "it does not believe this side's certificate or its signature".to_owned(),
            other => format!("it refuses this side: {other:?}"),
        },
        other => other.to_string(),
    }
}
