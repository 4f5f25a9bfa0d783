//! What goes wrong with TLS is told with the file and the mend, and heals with it.

use registry_client::{Error, Registry, TlsConfig};

use super::authority::Authority;
use super::{builder, own_server, own_server_with, secured, soon, with_identity};
use crate::kit::eventually;

/// What connecting to a server that is there fails with.
async fn refusal(registry: &Registry) -> String {
    // Until the server is there, the error is another.
    let mut last = String::new();
    let deadline = tokio::time::Instant::now() + crate::kit::PATIENCE;
    while tokio::time::Instant::now() < deadline {
        last = match soon("connecting fails", registry.connect()).await {
            Err(Error::Unavailable { message }) => message,
            other => panic!("{other:?}"),
        };
        if !last.contains("onnection refused") {
            return last;
        }
    }
    last
}

fn says(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test]
async fn a_ca_that_is_not_the_servers_is_named_and_heals_with_its_file() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some(server) = secured(&authority) else { return };
    let ca = other.file("ca.pem").display().to_string();
    let identity = (authority.file("client.pem"), authority.file("client.key"));
    let tls = TlsConfig::new().ca_file(&ca).identity_files(identity.0, identity.1);
    let registry = builder(&server).tls(tls).build().unwrap();
    says(&refusal(&registry).await, &[&server.endpoint, &ca, "TlsConfig::ca_file"]);
    tokio::fs::copy(authority.file("ca.pem"), ca).await.unwrap();
    eventually("it connects", || async { registry.connect().await.is_ok() }).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    let file = |name: &str| authority.file(name);
    let trusting = |tls: TlsConfig| builder(&server).tls(tls).build().unwrap();
    let ca = || TlsConfig::new().ca_file(file("ca.pem"));
    tokio::fs::write(file("noise.pem"), "noise").await.unwrap();

    let text = refusal(&trusting(TlsConfig::new().ca_file(file("none.pem")))).await;
    says(&text, &["none.pem", "this process may read"]);
    let text = refusal(&trusting(TlsConfig::new().ca_file(file("noise.pem")))).await;
    says(&text, &["noise.pem", "BEGIN CERTIFICATE"]);
    let text = refusal(&trusting(ca().identity_files(file("client.pem"), file("noise.pem")))).await;
    says(&text, &["noise.pem", "BEGIN PRIVATE KEY"]);
    let text = refusal(&trusting(ca().identity_files(file("client.pem"), file("server.key")))).await;
    says(&text, &["client.pem", "server.key", "its own key"]);
}

#[tokio::test]
async fn a_server_with_another_name_is_refused_unless_the_name_is_given() {
    let authority = Authority::new();
    let flag = |flag: &str, name: &str| format!("--{flag}={}", authority.file(name).display());
    let flags = [flag("cert-file", "named.pem"), flag("key-file", "named.key")];
    let Some(server) = own_server_with(&[&flags[0], &flags[1]]) else { return };
    let tls = TlsConfig::new().ca_file(authority.file("ca.pem"));
    let registry = builder(&server).tls(tls.clone()).build().unwrap();
    says(&refusal(&registry).await, &["TlsConfig::server_name"]);
    let registry = builder(&server).tls(tls.server_name("registry.internal")).build().unwrap();
    soon("it connects", registry.connect()).await.unwrap();
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_that_one_is_wanted() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    let tls = TlsConfig::new().ca_file(authority.file("ca.pem"));
    let registry = builder(&server).tls(tls).build().unwrap();
    says(&refusal(&registry).await, &["TlsConfig::identity_files"]);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_from_one_that_is_away() {
    let authority = Authority::new();
    let Some(server) = own_server() else { return };
    let endpoint = server.endpoint.replace("http://", "https://");
    let registry = Registry::builder([endpoint]).tls(with_identity(authority.folder())).build().unwrap();
    says(&refusal(&registry).await, &["TLS"]);
}
