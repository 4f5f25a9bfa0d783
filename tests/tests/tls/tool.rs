//! Programs that people use: etcd's own tool where it is installed, and what asks for figures and health.

use registry_tests::etcdctl;
use registry_tests::tls::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kit::Secured;

const MUTUAL: [&str; 2] = ["--trusted-ca-file=DIR/ca.pem", "--client-cert-auth"];

/// What is answered to a request over HTTP/1 and TLS, in text.
async fn ask(own: &Authority, url: &str, path: &str, with: Option<&str>) -> std::io::Result<String> {
    let address = url.trim_start_matches("https://");
    let mut config = own.trusting(with.map(|name| (own, name)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = "127.0.0.1".try_into().expect("it is an address");
    let mut stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn health_and_figures_are_served_over_tls_on_both_kinds_of_urls() {
    let metrics = "--listen-metrics-urls=https://127.0.0.1:0,http://127.0.0.1:0";
    let secured = Secured::start(&[MUTUAL[0], MUTUAL[1], metrics]).await;
    let [side, plain] = &secured.node.metrics_urls()[..] else { panic!("there are two") };
    for url in [secured.node.url(), side] {
        for (path, words) in [("/health", r#""health":"true""#), ("/metrics", "etcd_server_has_leader 1")] {
            let answer = ask(&secured.own, url, path, Some("client")).await.expect("it is let in");
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(words), "{answer}");
        }
        ask(&secured.own, url, "/health", None).await.expect_err("a certificate is asked for, as in etcd");
    }
    let mut stream = TcpStream::connect(plain.trim_start_matches("http://")).await.expect("the port is open");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn etcds_own_tool_is_let_in_with_a_certificate() {
    if !etcdctl::is_there() {
        return;
    }
    let secured = Secured::start(&MUTUAL).await;
    let file = |name, kind| secured.own.path(name, kind).display().to_string();
    let (ca, cert, key) = (file("ca", "pem"), file("client", "pem"), file("client", "key"));
    let trusting = ["--cacert", ca.as_str()];
    let known = [trusting[0], trusting[1], "--cert", &cert, "--key", &key];
    let url = secured.node.url();
    assert_eq!(etcdctl::say(url, &[&known[..], &["put", "a", "1"]].concat()), "OK\n");
    assert_eq!(etcdctl::say(url, &[&known[..], &["get", "a", "--print-value-only"]].concat()), "1\n");
    let unknown = [&trusting[..], &["--command-timeout=2s", "--dial-timeout=2s", "get", "a"]].concat();
    assert!(!etcdctl::run(url, &unknown).status.success(), "it has no certificate");
}
