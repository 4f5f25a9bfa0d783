//! The flags of connections mean the same for what goes through the SDK: users, and TLS with a client's certificate.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use registry_server::server::{Config, Server};
use registry_server::tls::Settings;
use serde_json::Value;

use crate::kit::{Going, Place, ran};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_registers_and_watches_what_the_role_permits() {
    let place = Place::ours().await;
    for line in [
        &["user", "add", "root:secret"][..],
        &["user", "add", "pay:hers"],
        &["role", "add", "root"],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "pay"],
        &["role", "grant-permission", "pay", "readwrite", "--prefix", "/services/pay/"],
        &["role", "grant-permission", "pay", "read", "--prefix", "/tombstones/pay/"],
        &["user", "grant-role", "pay", "pay"],
        &["auth", "enable"],
    ] {
        place.prints(line).await;
    }
    let hers = ["--user", "pay:hers"];
    let watch = place.going(&[&hers[..], &["watch-service", "pay", "-w", "json"]].concat());
    assert_eq!(watch.next_json()["event"], "synced");
    let mut going = place.going(&[&hers[..], &["register", "pay", "--port", "1", "--id", "1"]].concat());
    assert_eq!(going.next(), "pay/1 is registered");
    assert_eq!(watch.next_json()["event"], "added");
    going.signal("TERM");
    assert_eq!(going.code().await, 0);
    assert_eq!(watch.next_json()["event"], "removed");
    let other = place.run(&[&hers[..], &["register", "db", "--port", "1", "--", "sleep", "600"]].concat()).await;
    assert!(other.code == 1 && other.err.contains("permission denied"), "{other:?}");
    let nobody = place.run(&["services"]).await;
    assert!(nobody.code == 1 && nobody.err.contains("user name is empty"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_and_the_servers_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, cert, key] = certificates(dir.path()).map(|file| file.to_str().unwrap().to_owned());
    let client_tls = Settings {
        cert_file: Some(cert.clone().into()),
        key_file: Some(key.clone().into()),
        trusted_ca_file: Some(ca.clone().into()),
        client_cert_auth: true,
        ..Settings::default()
    };
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec!["https://127.0.0.1:0".parse().unwrap()],
        worker_threads: Some(1),
        client_tls,
        ..Config::default()
    };
    let node = Server::start(config).await.unwrap();
    let endpoint = node.client_url().trim_start_matches("https://").to_owned();
    let flags = ["--endpoints", &endpoint, "--cacert", &ca, "--cert", &cert, "--key", &key];
    let mut going = Going::start(&[&flags[..], &["register", "pay", "--port", "1", "--id", "1"]].concat());
    assert_eq!(going.next(), "pay/1 is registered");
    let listed = ran(&[&flags[..], &["instances", "pay", "-w", "json"]].concat()).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["instances"][0]["id"], "1");
    let removed = ran(&[&flags[..], &["remove", "pay", "1"]].concat()).await;
    assert!(removed.out.contains("removed"), "{removed:?}");
    going.signal("TERM");
    assert_eq!(going.code().await, 0);
    let stranger = ran(&[&flags[..4], &["remove", "pay", "1"]].concat()).await;
    assert!(stranger.code != 0 && stranger.err.contains(&endpoint), "{stranger:?}");
    node.shutdown().await.unwrap();
}

/// A CA's, and a certificate for loopback with its key.
fn certificates(dir: &Path) -> [PathBuf; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    [("ca.pem", ca.pem()), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())].map(|(name, pem)| {
        let file = dir.join(name);
        put(&file, &pem);
        file
    })
}

#[expect(clippy::disallowed_methods, reason = "a test's own files")]
fn put(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}
