//! TLS to the registry: both sides' certificates, their replacement under a running client, and what goes wrong.

mod authority;
mod errors;
mod health;

use std::future::IntoFuture;
use std::path::Path;
use std::time::Duration;

use authority::Authority;
use registry_client::{Registration, Registry, RegistryBuilder, TlsConfig};

use crate::kit::{Calls, PASSWORD, Server, eventually, instance, own_server, own_server_with, soon};

const SHORT: Duration = Duration::from_secs(2);

/// A server with a certificate of the authority, which asks for one of the same authority.
fn secured(authority: &Authority) -> Option<Server> {
    let file = |name: &str| authority.file(name).display().to_string();
    own_server_with(&[
        &format!("--cert-file={}", file("server.pem")),
        &format!("--key-file={}", file("server.key")),
        &format!("--trusted-ca-file={}", file("ca.pem")),
        "--client-cert-auth",
    ])
}

fn with_identity(folder: &Path) -> TlsConfig {
    TlsConfig::new().ca_file(folder.join("ca.pem")).identity_files(folder.join("client.pem"), folder.join("client.key"))
}

fn builder(server: &Server) -> RegistryBuilder {
    Registry::builder([server.endpoint.clone()])
}

async fn registered(registry: &Registry, id: &str) -> Registration {
    soon("it registers", registry.register(instance(id)).ttl(SHORT).into_future()).await.unwrap()
}

/// Waits until the watch shows these.
async fn shows(registry: &Registry, ids: &[&str]) {
    let watch = registry.watch("pay").start().unwrap();
    eventually("the watch shows them", || async {
        watch.snapshot().instances().iter().map(|found| found.id().to_owned()).collect::<Vec<_>>() == ids
    })
    .await;
}

#[tokio::test]
async fn g04_instances_are_registered_and_found_over_tls_with_both_certificates() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    let registry = builder(&server).tls(with_identity(authority.folder())).build().unwrap();
    registered(&registry, "1").await.shutdown(registry_client::Shutdown::new().drain(Duration::ZERO)).await.unwrap();
    let registration = registered(&registry, "2").await;
    shows(&registry, &["2"]).await;

    let read = async |name: &str| tokio::fs::read(authority.file(name)).await.unwrap();
    let (certificate, key) = (read("client.pem").await, read("client.key").await);
    let given = TlsConfig::new().ca_pem(read("ca.pem").await).identity_pem(certificate, key);
    assert!(!format!("{given:?}").contains("PRIVATE"));
    let other = builder(&server).tls(given).build().unwrap();
    shows(&other, &[registration.instance().id()]).await;
}

#[tokio::test]
async fn g04_files_that_are_replaced_are_used_from_the_next_connection_on() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    let registry = builder(&server).tls(with_identity(authority.folder())).build().unwrap();
    let registration = registered(&registry, "1").await;

    let stopped = server.stop();
    authority.replace();
    let server = stopped.start(true);
    // The old connection went with the old server.
    let other = registered(&registry, "2").await;
    shows(&registry, &["1", "2"]).await;
    drop((registration, other, server));
}

#[tokio::test]
async fn g04_a_user_logs_in_over_tls() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    // Users are made over a way of its own, as the kit's plain calls know no TLS.
    let (plain, flags) = server.stop().start_with(Vec::new());
    let mut calls = Calls::connect(&plain.endpoint).await;
    calls.add_users("/prod").await;
    calls.enable_auth().await;
    let (server, _) = plain.stop().start_with(flags);
    let tls = with_identity(authority.folder());
    let registry = builder(&server).namespace("/prod").tls(tls).auth("pay", PASSWORD).build().unwrap();
    registered(&registry, "1").await.instance();
}
