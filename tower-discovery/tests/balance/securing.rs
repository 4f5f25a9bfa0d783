//! Endpoints that speak TLS, over gRPC and HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use registry_client::{Endpoint, Instance};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tower_discovery::{
    ClientTls, DiscoveryLayer, GrpcChannel, GrpcConnect, HttpChannel, HttpConnect, NoEndpoint, TlsError,
};
use tower_layer::Layer;

use crate::kit::{Answer, ask, connected, pay};

/// The name that the servers' certificates carry.
const NAME: &str = "pay.internal";

/// A CA, and what it has signed.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's settings; it asks for a client's certificate if `asks`.
    fn server(&self, asks: bool, protocols: &[&str]) -> rustls::ServerConfig {
        let (certificate, key) = self.issue(NAME);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = match asks {
            true => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
            false => builder.with_no_client_auth(),
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// Answers each request with its protocol, scheme and authority; gives the port.
async fn serve(config: rustls::ServerConfig) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let answer = service_fn(|request: Request<Incoming>| async move {
                    let (version, uri) = (request.version(), request.uri());
                    let host = request.headers().get("host").and_then(|host| host.to_str().ok());
                    let origin = uri.authority().map(|authority| authority.as_str()).or(host);
                    let text = format!("{version:?} {:?} {}", uri.scheme_str(), origin.unwrap());
                    Answer::Ok(Response::new(Full::new(Bytes::from(text))))
                });
                let stream = TokioIo::new(stream);
                let _closed = match is_http2 {
                    true => {
                        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(stream, answer).await
                    }
                    false => hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await,
                };
            });
        }
    });
    port
}

/// An instance whose certificate goes by a name, and not by its address.
fn secured(port: u16) -> Instance {
    let endpoint = Endpoint::parse(&format!("https://127.0.0.1:{port}")).unwrap().with_server_name(NAME);
    Instance::builder("pay").id("a").endpoint("rpc", endpoint).build().unwrap()
}

/// What no connection came of.
async fn refusal(port: u16, connector: GrpcConnect) -> String {
    let (view, mut publisher) = pay();
    publisher.put(secured(port));
    let channel = DiscoveryLayer::new(view).served_by(true).on_no_endpoint(NoEndpoint::FailFast).layer(connector);
    ask(&channel).await.unwrap_err().to_string()
}

#[tokio::test]
async fn grpc_goes_over_tls_to_an_endpoint_by_its_server_name_with_a_client_certificate() {
    let authority = Authority::new();
    let port = serve(authority.server(true, &["h2"])).await;
    let (view, mut publisher) = pay();
    publisher.put(secured(port));
    let (certificate, key) = authority.issue("client");
    let tls = ClientTls::trusting(&authority.pem).unwrap().with_identity(certificate, key).unwrap();
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new().tls(tls.clone()));
    let body = ask(&channel).await.unwrap().1.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("HTTP/2.0 Some(\"https\") 127.0.0.1:{port}"));

    let (view, mut publisher) = pay();
    publisher.put(secured(port));
    let connector = GrpcConnect::new().tls(tls).origin("pay.internal".parse().unwrap());
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(connector);
    let body = ask(&channel).await.unwrap().1.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "HTTP/2.0 Some(\"https\") pay.internal");
}

#[tokio::test]
async fn http_goes_over_tls_in_either_version() {
    let authority = Authority::new();
    let tls = ClientTls::trusting(&authority.pem).unwrap();
    for (connector, protocols, expected) in [
        (HttpConnect::new(), &["h2", "http/1.1"][..], "HTTP/1.1 None"),
        (HttpConnect::new(), &[], "HTTP/1.1 None"),
        (HttpConnect::new().http2(), &["http/1.1", "h2"], "HTTP/2.0 Some(\"https\")"),
    ] {
        let port = serve(authority.server(false, protocols)).await;
        let (view, mut publisher) = pay();
        publisher.put(secured(port));
        let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(connector.tls(tls.clone()));
        connected(&channel, &["a"]).await;
        let answer = channel.oneshot(Request::get("/").body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{expected} 127.0.0.1:{port}"));
    }
}

#[tokio::test]
async fn what_cannot_be_secured_is_not_connected_and_the_error_says_why() {
    let authority = Authority::new();
    let port = serve(authority.server(false, &["h2"])).await;
    let told = refusal(port, GrpcConnect::new()).await;
    assert!(told.contains("the endpoint's scheme is https: give the connector a ClientTls"), "{told}");

    let stranger = ClientTls::trusting(Authority::new().pem).unwrap();
    let told = refusal(port, GrpcConnect::new().tls(stranger)).await;
    assert!(told.contains("TLS: invalid peer certificate"), "{told}");

    let tls = ClientTls::trusting(&authority.pem).unwrap();
    let old = serve(authority.server(false, &["http/1.1"])).await;
    let told = refusal(old, GrpcConnect::new().tls(tls.clone())).await;
    assert!(told.contains("TLS: "), "{told}");
    let unaware = serve(authority.server(false, &[])).await;
    let told = refusal(unaware, GrpcConnect::new().tls(tls.clone())).await;
    assert!(told.contains("the server does not speak HTTP/2 over TLS"), "{told}");

    let asking = serve(authority.server(true, &["h2"])).await;
    let told = refusal(asking, GrpcConnect::new().tls(tls)).await;
    assert!(told.contains("CertificateRequired") || told.contains("before it greeted"), "{told}");
}

#[test]
fn what_is_no_certificate_is_refused_where_it_is_given() {
    let authority = Authority::new();
    let (certificate, _) = authority.issue("client");
    let (_, key_of_another) = authority.issue("client");
    assert!(matches!(ClientTls::trusting("none"), Err(TlsError::NoCertificate { .. })));
    let tls = || ClientTls::trusting(&authority.pem).unwrap();
    assert!(matches!(tls().with_identity(&certificate, "none"), Err(TlsError::NoKey)));
    assert!(matches!(tls().with_identity("none", &key_of_another), Err(TlsError::NoCertificate { .. })));
    assert!(matches!(tls().with_identity(&certificate, &key_of_another), Err(TlsError::Unusable(_))));
}
