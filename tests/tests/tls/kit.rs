//! A server with TLS for clients, its CA, and those who come.

use std::net::SocketAddr;

use registry_tests::tls::Authority;
use registry_tests::{Client, Dial, Node, requests, within};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::NODE;

/// A CA with certificates for `server` and `client`, and the server that uses them.
pub(super) struct Secured {
    pub(super) own: Authority,
    pub(super) node: Node,
    /// Removed with the server.
    _dir: TempDir,
}

/// A CA in a directory that has issued `server`, `client` and `other`.
pub(super) fn authority(dir: &TempDir) -> Authority {
    let authority = Authority::new(dir.path());
    authority.issue("server");
    ["client", "other"].into_iter().for_each(|name| authority.issue_for(name, &["client.example"]));
    authority
}

/// The flags of a server with the CA's certificate, behind which `more` follow; `DIR` in them is the CA's directory.
pub(super) fn flags(own: &Authority, more: &[&str]) -> Vec<String> {
    let dir = own.path("ca", "pem").parent().expect("it is in a directory").display().to_string();
    let all = ["--listen-client-urls=https://127.0.0.1:0", "--cert-file=DIR/server.pem", "--key-file=DIR/server.key"];
    all.iter().chain(more).map(|flag| flag.replace("DIR", &dir)).collect()
}

impl Secured {
    pub(super) async fn start(more: &[&str]) -> Self {
        Self::prepared(|_| {}, more).await
    }

    /// Where something is done with the CA before the server starts.
    pub(super) async fn prepared(prepare: impl FnOnce(&Authority), more: &[&str]) -> Self {
        let dir = TempDir::new().expect("directories can be made");
        let own = authority(&dir);
        prepare(&own);
        let flags = flags(&own, more);
        let node = Node::start(NODE, &flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
        Self { own, node, _dir: dir }
    }

    pub(super) fn door(&self) -> SocketAddr {
        self.node.url().trim_start_matches("https://").parse().expect("it is an address")
    }

    /// A client that trusts the server's CA and presents a certificate of it, if any.
    pub(super) fn config(&self, name: Option<&str>) -> ClientConfig {
        self.own.trusting(name.map(|name| (&self.own, name)))
    }

    /// Whether a client with this gets something written.
    pub(super) async fn lets_in(&self, config: ClientConfig) -> Result<Client, String> {
        let channel = Dial::tls(config).connect(self.node.url()).await.map_err(|error| format!("{error:?}"))?;
        let client = Client::over(channel);
        let put = within(client.try_put(requests::put("key", "value".to_owned()))).await;
        put.map(|_| client).map_err(|status| format!("{status:?}"))
    }
}

/// What is answered to bytes that somebody sends without TLS.
pub(super) async fn say_plainly(door: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(door).await.expect("the port is open");
    stream.write_all(bytes).await.expect("it is read");
    let mut answer = Vec::new();
    // A reset is an answer, too.
    drop(within(stream.read_to_end(&mut answer)).await);
    answer
}
