//! Probes over TLS, of servers with certificates of a test's own authority, and what is refused before anything is asked.

use super::super::HealthCheck;
use super::*;

fn refusal(check: HealthCheck) -> String {
    match check.checked() {
        Err(Error::Setting(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn says(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn an_https_address_is_refused_with_the_feature_that_it_needs() {
    for check in [HealthCheck::http("https://10.0.0.7:9000", "/"), HealthCheck::grpc("https://10.0.0.7:9000", "")] {
        says(&refusal(check.unwrap()), &["https://10.0.0.7:9000", "feature `tls`", "HealthCheck::tls", "http://"]);
    }
    HealthCheck::tcp("https://10.0.0.7:9000").unwrap().checked().unwrap();
}

#[cfg(feature = "tls")]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod with_the_feature {
    use std::sync::Arc;

    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;
    use tonic_health::ServingStatus;
    use tower_service::Service as _;

    use super::*;
    use crate::registration::health::network::Network;

    /// A server with a certificate for 127.0.0.1, and settings that trust it.
    struct Secured {
        endpoint: Endpoint,
        security: Security,
    }

    impl Secured {
        /// Each connection is given to `serve`, after a handshake that agrees on one of these protocols.
        async fn start<F: Future<Output = ()> + Send + 'static>(
            protocols: &[&str],
            serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
        ) -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let ca = params.self_signed(&key).unwrap().pem();
            let server_key = KeyPair::generate().unwrap();
            let issuer = Issuer::new(params, key);
            let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            let certificate = CertificateDer::from(params.signed_by(&server_key, &issuer).unwrap());
            let server_key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
            let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
            let mut config = builder.with_single_cert(vec![certificate], server_key).unwrap();
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Endpoint::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        tokio::spawn(serve(stream));
                    }
                }
            });
            Self { endpoint, security: Security { tls: Some(TlsConfig::new().ca_pem(ca)) } }
        }

        /// Answers everything with 200.
        async fn web(protocols: &[&str]) -> Self {
            Self::start(protocols, |mut stream| async move {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            })
            .await
        }

        async fn get(&self, security: &Security) -> Result<(), BoxError> {
            Network::http(self.endpoint.clone(), "/healthz").unwrap().probe(security).await
        }
    }

    #[tokio::test]
    async fn http_passes_over_tls_where_the_certificate_is_trusted() {
        let server = Secured::web(&["h2", "http/1.1"]).await;
        server.get(&server.security).await.unwrap();
        let without_names = Secured::web(&[]).await;
        without_names.get(&without_names.security).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_wrong_with_tls_is_said_with_the_mend() {
        let (server, other) = (Secured::web(&[]).await, Secured::web(&[]).await);
        let error = server.get(&other.security).await.unwrap_err().to_string();
        says(&error, &["TLS", "TlsConfig::ca_file"]);
        let named = server.security.tls.clone().unwrap().server_name("pay.internal");
        let error = server.get(&Security { tls: Some(named) }).await.unwrap_err().to_string();
        says(&error, &["TlsConfig::server_name"]);
        let only_h2 = Secured::web(&["h2"]).await;
        only_h2.get(&only_h2.security).await.unwrap_err();
    }

    #[tokio::test]
    async fn grpc_passes_over_tls_while_the_service_serves() {
        let (reporter, health) = tonic_health::server::health_reporter();
        let server = Secured::start(&["h2"], move |stream| {
            let health = health.clone();
            async move {
                let answer = service_fn(move |request| health.clone().call(request));
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(stream), answer).await);
            }
        })
        .await;
        let probe = Network::grpc(server.endpoint.clone(), "pay".to_owned()).unwrap();
        reporter.set_service_status("pay", ServingStatus::Serving).await;
        probe.probe(&server.security).await.unwrap();
        reporter.set_service_status("pay", ServingStatus::NotServing).await;
        let error = probe.probe(&server.security).await.unwrap_err().to_string();
        says(&error, &["NOT_SERVING"]);
    }

    #[tokio::test]
    async fn an_address_and_the_settings_of_tls_go_together_or_are_refused() {
        let tls = || TlsConfig::new().ca_file("/etc/pay/ca.pem");
        let (https, http) = ("https://10.0.0.7:9000", "http://10.0.0.7:9000");
        for check in [HealthCheck::http(https, "/"), HealthCheck::grpc(https, "")] {
            let check = check.unwrap();
            says(&refusal(check.clone()), &[https, "HealthCheck::tls", "http://"]);
            says(&refusal(check.clone().tls(TlsConfig::new())), &["TlsConfig::ca_file"]);
            check.tls(tls()).checked().unwrap();
        }
        let callback = HealthCheck::callback(|| async { Ok::<(), Error>(()) });
        let others = [HealthCheck::http(http, "/").unwrap(), HealthCheck::tcp(https).unwrap(), callback];
        for check in others {
            check.clone().checked().unwrap();
            says(&refusal(check.tls(tls())), &["HealthCheck::tls", "https://"]);
        }
    }
}
