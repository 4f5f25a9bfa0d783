//! Health checks over TLS, of a server that asks for certificates: the registry itself, which answers both kinds.

use registry_client::{HealthCheck, Registry};

use super::authority::Authority;
use super::{SHORT, builder, secured, with_identity};
use crate::kit::{instance, soon};

#[tokio::test]
async fn a_check_over_tls_shows_the_instance_as_up_with_both_certificates_only() {
    let authority = Authority::new();
    let Some(server) = secured(&authority) else { return };
    let registry: Registry = builder(&server).tls(with_identity(authority.folder())).build().unwrap();
    let probe = |id: &str, check: HealthCheck| {
        let check = check.interval(SHORT / 40).timeout(SHORT);
        soon("it registers", registry.register(instance(id)).health(check).into_future())
    };
    let http = || HealthCheck::http(server.endpoint.clone(), "/health").unwrap();
    let grpc = || HealthCheck::grpc(server.endpoint.clone(), "").unwrap();

    let anonymous = || registry_client::TlsConfig::new().ca_file(authority.file("ca.pem"));
    let refused =
        [probe("1", http().tls(anonymous())).await.unwrap(), probe("2", grpc().tls(anonymous())).await.unwrap()];
    for check in [http(), grpc()] {
        let registration = probe("3", check.tls(with_identity(authority.folder()))).await.unwrap();
        soon("it is healthy", registration.healthy()).await.unwrap();
    }
    for registration in refused {
        let waits = tokio::time::timeout(SHORT / 4, registration.healthy()).await;
        assert!(waits.is_err(), "a server that wants a certificate has refused it: {waits:?}");
    }
}
