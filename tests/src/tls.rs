//! Certificates for tests, and somebody who knocks at a door with one, with another one, or with none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
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
        self.issue_for(name, &["127.0.0.1"]);
    }

    /// Makes a certificate for these names and addresses, and with its own name as common name.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn issue_for(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).expect("they are names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial(name));
        let key = KeyPair::generate().expect("keys can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("the CA signs");
        put(&self.path(name, "key"), &key.serialize_pem());
        put(&self.path(name, "pem"), &cert.pem());
    }

    /// Writes `ca.crl`, in which these are revoked: all that were issued by the names, before and after.
    ///
    /// # Panics
    /// When files cannot be written.
    pub fn revoke(&self, names: &[&str]) {
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        put(&self.path("ca", "crl"), &list.signed_by(&self.issuer).expect("the CA signs").pem().expect("it is text"));
    }

    /// What a client is configured with that trusts this CA, and presents what another has issued by a name, if any.
    ///
    /// # Panics
    /// When that was not issued.
    #[must_use]
    pub fn trusting(&self, with: Option<(&Self, &str)>) -> ClientConfig {
        self.trusting_with_versions(with, rustls::ALL_VERSIONS)
    }

    /// The same with some versions of TLS only.
    ///
    /// # Panics
    /// When it was not issued.
    #[must_use]
    pub fn trusting_with_versions(
        &self,
        with: Option<(&Self, &str)>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate("ca")).expect("it is a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("the provider has them");
        let mut config = presenting(builder.with_root_certificates(roots), with);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
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

/// The number of a certificate, from the name by which it was issued.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from([&[1], name.as_bytes()].concat())
}

fn presenting(builder: ConfigBuilder<ClientConfig, WantsClientCert>, with: Option<(&Authority, &str)>) -> ClientConfig {
    let Some((authority, name)) = with else { return builder.with_no_client_auth() };
    let key = PrivateKeyDer::from_pem_file(authority.path(name, "key")).expect("it was issued");
    builder.with_client_auth_cert(vec![authority.certificate(name)], key).expect("they were made together")
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
    let config = presenting(builder, with);
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
