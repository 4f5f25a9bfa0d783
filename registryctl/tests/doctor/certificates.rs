//! Certificates that end.

use std::path::PathBuf;
use std::sync::Arc;

use registry_server::tls::Settings;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::kit::{Found, Node, doctor};

/// What the doctor finds at a server with a certificate that ends so many days from now.
async fn looked(ends_in_days: i64) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (cert_file, key_file) = authority.issue("server", ends_in_days);
    let node = Node::start_with(|config| {
        config.listen_client_urls = vec!["https://127.0.0.1:0".parse().unwrap()];
        config.client_tls = Settings { cert_file: Some(cert_file), key_file: Some(key_file), ..Settings::default() };
    })
    .await;
    let found = doctor(node.url(), &["--cacert", &authority.ca()]).await;
    node.stop().await;
    found
}

/// Our server does not start with a certificate that has ended, but one may end while it runs: here something in front of it
/// has such a one.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_an_error_although_nothing_else_can_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (node, certificate) = (Node::start().await, authority.issue("old", -3));
    let front = secure_front(&node, &certificate).await;
    let found = doctor(&front.0, &["--cacert", &authority.ca()]).await;
    found.expect("certificate", &format!("error {}", front.0), &["has expired 2 days ago", "issue a new one"]);
    found.expect("endpoint", &format!("error {}", front.0), &["calls fail"]);
    assert_eq!(found.code, 1);
    node.stop().await;
}

/// What ends TLS with a certificate in front of a server, at which URL; until it is dropped.
async fn secure_front(node: &Node, (cert_file, key_file): &(PathBuf, PathBuf)) -> (String, JoinSet<()>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_file(cert_file).unwrap()];
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key_file).unwrap()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = node.url().trim_start_matches("http://").to_owned();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, server) = (acceptor.clone(), server.clone());
            connections.spawn(async move {
                // Whoever does not like the certificate goes.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(server).await.unwrap();
                copy_bidirectional(&mut stream, &mut inner).await.ok();
            });
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_within_a_month_is_a_warning_and_a_later_one_is_well() {
    let found = looked(29).await;
    found.expect("certificate", "warning https://127.0.0.1:", &["expires in 29 days"]);
    assert_eq!(found.code, 0, "{found:?}");
    looked(31).await.expect("certificate", "ok https://127.0.0.1:", &["expires in 31 days"]);
}
