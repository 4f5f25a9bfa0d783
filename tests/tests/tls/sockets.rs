//! Sockets in the file system, with TLS and without.

use std::os::unix::net::UnixListener;

use registry_tests::tls::Authority;
use registry_tests::{Client, Dial, Node};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::NODE;
use crate::kit::authority;

/// A server that listens on `plain.sock`, `secured.sock` and, for figures, `side.sock`.
fn flags(dir: &TempDir, own: &Authority) -> Vec<String> {
    let path = dir.path().display();
    let file = |name, kind| own.path(name, kind).display().to_string();
    vec![
        format!("--listen-client-urls=unix://{path}/plain.sock,unixs://{path}/secured.sock"),
        format!("--listen-metrics-urls=unix:{path}/side.sock"),
        format!("--cert-file={}", file("server", "pem")),
        format!("--key-file={}", file("server", "key")),
        format!("--trusted-ca-file={}", file("ca", "pem")),
    ]
}

async fn start(dir: &TempDir, own: &Authority) -> Node {
    let flags = flags(dir, own);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Node::try_start(NODE, &dir.path().join("data"), &flags).await.expect("it starts")
}

async fn client(dial: Dial) -> Client {
    Client::over(dial.connect("http://localhost").await.expect("it is listened on"))
}

#[tokio::test]
async fn clients_come_by_sockets_and_files_are_there_as_long_as_the_server_is() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    own.issue_for("server", &["localhost"]);
    let [plain, secured, side] = ["plain", "secured", "side"].map(|name| dir.path().join(format!("{name}.sock")));
    // As a server leaves it that was killed.
    drop(UnixListener::bind(&plain).expect("sockets can be made"));
    let mut node = start(&dir, &own).await;
    let revision = client(Dial::socket(&plain, None)).await.put("key", "1").await;
    let with = own.trusting(Some((&own, "client")));
    let inside = client(Dial::socket(&secured, Some(with.clone()))).await;
    assert_eq!(inside.get("key").await.map(|kv| kv.mod_revision), Some(revision));
    let mut stream = UnixStream::connect(&side).await.expect("it is listened on");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // One that was killed leaves its files, and the next start takes them over.
    node.restart().await;
    assert_eq!(client(Dial::socket(&plain, None)).await.value("key").await.expect("it was put"), "1");
    node.terminate().await;
    for path in [plain, secured, side] {
        assert!(!path.exists(), "{} is still there", path.display());
    }
}

#[tokio::test]
async fn a_socket_that_somebody_listens_on_is_left_to_them() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let node = start(&dir, &own).await;
    let url = node.url().to_owned();
    assert_eq!(url, format!("unix://{}/plain.sock", dir.path().display()));
    let flag = format!("--listen-client-urls={url}");
    let refused = Node::try_start(NODE, &dir.path().join("other"), &[&flag]).await.expect_err("it is in use");
    assert!(refused.said[0].contains(&url) && refused.said[0].contains("in use"), "{refused}");
    client(Dial::socket(dir.path().join("plain.sock"), None)).await.put("key", "still there").await;
}
