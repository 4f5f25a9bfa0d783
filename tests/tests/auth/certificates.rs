//! Users that are known by their certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use registry_proto::etcdserverpb::PutRequest;
use registry_tests::tls::Authority;
use registry_tests::{Dial, Node, refusal, requests};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// A server with TLS whose CA has issued certificates for these names.
struct Secured {
    own: Authority,
    node: Node,
    _dir: TempDir,
}

impl Secured {
    async fn start(more: &[&str]) -> Self {
        let dir = TempDir::new().expect("directories can be made");
        let own = Authority::new(dir.path());
        own.issue("server");
        ["root", "writer", "stranger"].into_iter().for_each(|name| own.issue_for(name, &["client.example"]));
        let file = |name: &str| dir.path().join(name).display().to_string();
        let flags = [
            "--listen-client-urls=https://127.0.0.1:0".to_owned(),
            format!("--cert-file={}", file("server.pem")),
            format!("--key-file={}", file("server.key")),
            format!("--trusted-ca-file={}", file("ca.pem")),
            CHEAP.to_owned(),
        ];
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let node = Node::start(NODE, &flags).await;
        Self { own, node, _dir: dir }
    }

    async fn door(&self, name: &str) -> Door {
        let config = self.own.trusting(Some((&self.own, name)));
        Door::over(Dial::tls(config).connect(self.node.url()).await.expect("its certificate is good"))
    }
}

fn nobody() -> (Code, String) {
    (Code::InvalidArgument, "etcdserver: user name is empty".to_owned())
}

#[tokio::test]
async fn the_common_name_of_a_certificate_is_the_user_and_a_token_counts_before_it() {
    let secured = Secured::start(&["--client-cert-auth"]).await;
    let writer = secured.door("writer").await;
    let tokens = set_up(&writer).await;
    writer.put_value("w/1", "v").await.expect("it is the writer");
    assert_eq!(refusal(writer.put_value("r/1", "v").await).0, Code::PermissionDenied);
    secured.door("root").await.put_value("anything", "v").await.expect("it is root");
    let stranger = secured.door("stranger").await;
    assert_eq!(refusal(stranger.put_value("w/1", "v").await).0, Code::PermissionDenied);
    stranger.by(&tokens[2]).put_value("w/1", "v").await.expect("its token is the writer's");
    assert_eq!(refusal(writer.by("ended.1").put_value("w/1", "v").await).0, Code::Unauthenticated);
}

#[tokio::test]
async fn without_client_cert_auth_a_certificate_is_nobodys() {
    let secured = Secured::start(&[]).await;
    let root = secured.door("root").await;
    set_up(&root).await;
    assert_eq!(refusal(root.put_value("k", "v").await), nobody());
}

/// CVE-2018-16886.
#[tokio::test]
async fn a_certificate_is_nobodys_for_what_comes_through_a_gateway() {
    let secured = Secured::start(&["--client-cert-auth"]).await;
    let root = secured.door("root").await;
    set_up(&root).await;
    let mut request = root.request::<PutRequest>(requests::put("k", "v"));
    request.metadata_mut().insert("grpcgateway-accept", "*/*".parse().unwrap());
    assert_eq!(refusal(root.kv().put(request).await), nobody());
    let mut config = secured.own.trusting(Some((&secured.own, "root")));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let address: SocketAddr = secured.node.url().trim_start_matches("https://").parse().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::from(address.ip()), stream).await.unwrap();
    let body = r#"{"key":"aw==","value":"dg=="}"#;
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("user name is empty"), "{answer}");
}
