//! What cannot be had of a client that is handed over is refused, and an absent registry is waited for.

use std::future::IntoFuture;

use registry_client::{Advertise, Error, Registry, TlsConfig};

use super::{HOUR, client};
use crate::kit::{Calls, instance, own_server, soon};

#[tokio::test]
async fn settings_that_are_the_clients_own_are_refused_with_the_mend() {
    let client = client("http://127.0.0.1:1").await;
    let builder = || Registry::from_etcd_client(client.clone());
    for (builder, mend) in [
        (builder().auth("pay", "hunter2"), "ConnectOptions::with_user"),
        (builder().follow_members(), "RegistryBuilder::follow_members"),
        (builder().tls(TlsConfig::new().ca_file("/etc/registry/ca.pem")), "ConnectOptions::with_tls"),
        (builder().namespace("a b"), "a b"),
    ] {
        let text = builder.build().unwrap_err().to_string();
        assert!(text.contains(mend) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn there_is_no_route_to_a_client_from_which_to_read_an_address() {
    let registry = Registry::from_etcd_client(client("http://127.0.0.1:1").await).build().unwrap();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let serving = registry.serve(instance("1"), listener, |_, _| async { Ok::<(), std::io::Error>(()) });
    let error = serving.advertise(Advertise::route()).await.unwrap_err();
    let causes = format!("{error:?}");
    assert!(causes.contains("no endpoint"), "{causes}");
}

#[tokio::test]
async fn g04_a_registry_that_is_down_is_waited_for() {
    let Some(server) = own_server() else { return };
    drop(Calls::connect(&server.endpoint).await);
    let stopped = server.stop();
    let registry = Registry::from_etcd_client(client(&stopped.endpoint).await).build().unwrap();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { message } if message.contains("no endpoint")), "{error:?}");
    let registering = tokio::spawn(registry.register(instance("1")).ttl(HOUR).into_future());
    let _server = stopped.start(true);
    let registration = soon("it registers", registering).await.unwrap().unwrap();
    assert_eq!(registration.instance().id(), "1");
}
