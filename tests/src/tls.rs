//! Certificates for tests, and somebody who knocks at a door with one, with another one, or with none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::wait::within;

/// What HTTP/2 begins with, and settings that say nothing.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The fourth byte of an answer: the kind of its first frame, which must be settings.
const SETTINGS: u8 = 4;

/// A CA that writes its certificates into a directory: its own as `ca.pem`, others with their keys as `NAME.pem` and
/// `NAME.key`.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new CA.
    ///
    /// # Panics
    /// When files cannot be written.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("the CA of {}", dir.display()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("keys can be made");
        let cert = params.self_signed(&key).expect("a CA signs itself");
        std::fs::create_dir_all(dir).expect("directories can be made");
        put(&dir.join("ca.pem"), &cert.pem());
        Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// Makes a certificate for this machine's loopback, in place of the one with that name.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn issue(&self, name: &str) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address is a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("keys can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("the CA signs");
        put(&self.path(name, "key"), &key.serialize_pem());
        put(&self.path(name, "pem"), &cert.pem());
    }

    /// Where a certificate (`pem`) or its key (`key`) is.
    #[must_use]
    pub fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }

    /// A certificate that was issued.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name, "pem")).expect("it was issued")
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Replaces a file in one step, as tools that renew certificates do.
#[expect(clippy::disallowed_methods, reason = "the files of a test")]
fn put(path: &Path, text: &str) {
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, text).expect("files can be written");
    std::fs::rename(unfinished, path).expect("files can be renamed");
}

/// Knocks at a port with TLS, and with the certificate that an authority has issued by a name, if any; returns the
/// certificate of whoever answers with HTTP/2. What that one presents is not verified.
///
/// # Errors
/// What became of the connection instead.
///
/// # Panics
/// When nothing becomes of it.
pub async fn knock(door: SocketAddr, with: Option<(&Authority, &str)>) -> Result<CertificateDer<'static>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has both").dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(Trusting(provider)));
    let config = match with {
        None => builder.with_no_client_auth(),
        Some((authority, name)) => {
            let key = PrivateKeyDer::from_pem_file(authority.path(name, "key")).expect("it was issued");
            builder.with_client_auth_cert(vec![authority.certificate(name)], key).expect("they were made together")
        }
    };
    let stream = TcpStream::connect(door).await.map_err(|error| error.to_string())?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(door.ip().into(), stream);
    let mut stream = within(connecting).await.map_err(|error| error.to_string())?;
    greet(&mut stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().expect("a server presents some");
    Ok(certificates[0].clone().into_owned())
}

/// Knocks without TLS.
///
/// # Errors
/// What became of the connection instead of an answer in HTTP/2.
///
/// # Panics
/// When nothing becomes of it.
pub async fn knock_plainly(door: SocketAddr) -> Result<(), String> {
    greet(&mut TcpStream::connect(door).await.map_err(|error| error.to_string())?).await
}

/// Says hello in HTTP/2, and waits for the answer.
async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), String> {
    let mut head = [0; 4];
    let greeting = async {
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        stream.read_exact(&mut head).await
    };
    within(greeting).await.map_err(|error| error.to_string())?;
    if head[3] == SETTINGS { Ok(()) } else { Err(format!("no HTTP/2: {head:?}")) }
}

/// Takes whatever certificate there is.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
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
