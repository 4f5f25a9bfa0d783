//! Who sends a request is known to the services by the certificate of its connection.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use registry_proto::etcdserverpb::PutRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::front_tests::{Channel, Echo, open_with};
use crate::storage::StdVfs;
use crate::tls::{Acceptor, Credentials, Settings};

/// A CA, and what it has signed for `name`.
fn sign(issuer: &Issuer<'_, KeyPair>, name: Option<&str>) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap(), key)
}

#[expect(clippy::disallowed_methods, reason = "the files of a test")]
fn put(dir: &tempfile::TempDir, name: &str, text: &str) -> Option<std::path::PathBuf> {
    std::fs::write(dir.path().join(name), text).unwrap();
    Some(dir.path().join(name))
}

#[tokio::test]
async fn a_request_tells_the_common_name_of_who_has_sent_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let (cert, key) = sign(&issuer, Some("server"));
    let settings = Settings {
        cert_file: put(&dir, "cert", &cert.pem()),
        key_file: put(&dir, "key", &key.serialize_pem()),
        trusted_ca_file: put(&dir, "ca", &ca.pem()),
        accepts_only: true,
        ..Settings::default()
    };
    let acceptor = Acceptor::new(Credentials::load(StdVfs, settings, &[b"h2"]).unwrap());
    let urls = ["https://127.0.0.1:0", "http://127.0.0.1:0"].map(|url| url.parse().unwrap());
    let door = open_with(Echo::default(), |config| config.listen_client_urls = urls.to_vec(), Some(acceptor));
    let [secured, plain] = door.addresses()[..] else { panic!("there are two") };
    for name in [Some("root"), Some("somebody else"), None] {
        let (cert, key) = sign(&issuer, name);
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_client_auth_cert(vec![cert.der().clone()], key).unwrap();
        let stream = TcpStream::connect(secured).await.unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(secured.ip().into(), stream).await.unwrap();
        let mut client = KvClient::new(Channel::over(stream, secured).await);
        for _ in 0..2 {
            let answer = client.put(PutRequest::default()).await.unwrap().into_inner();
            assert_eq!(answer.prev_kv.unwrap().value, name.unwrap_or_default());
        }
    }
    let answer = KvClient::new(Channel::connect(plain).await).put(PutRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.prev_kv.unwrap().value, "", "nobody is known without a certificate");
    door.shutdown().await;
}
