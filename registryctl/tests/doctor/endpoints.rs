//! Endpoints that are none.

use registry_server::tls::Settings;
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::front::{Front, Says};
use crate::kit::{Node, doctor, port};

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_and_one_of_another_program_are_told() {
    let node = Node::start().await;
    let nobody = port();
    let web = Front::before(node.url(), Says { pages: [("/", vec!["hello".to_owned()])].into(), date: None }).await;
    // It speaks HTTP/1 only.
    let endpoints = format!("{},{}", nobody.url, node.url());
    let found = doctor(&endpoints, &[]).await;
    found.expect(
        "endpoint",
        &format!("error {}", nobody.url),
        &["nobody answers there", "Connection refused", "start"],
    );
    found.expect("endpoint", &format!("ok {}", node.url()), &["answers as member"]);
    assert_eq!(found.code, 1);
    drop(web);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_of_something_else_is_told() {
    // gRPC leads nowhere.
    let web = Front::before("http://127.0.0.1:1", Says::default()).await;
    let found = doctor(&web.url, &[]).await;
    found.expect(
        "endpoint",
        &format!("error {}", web.url),
        &["an HTTP server", "404", "no server of this API", "2379"],
    );
    found.expect("endpoint", "error cluster", &["no endpoint answers"]);
    assert_eq!(found.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_holds_nobody_up() {
    let node = Node::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let endpoints = format!("{url},{}", node.url());
    let flags = ["--dial-timeout", "300ms", "--command-timeout", "1s"];
    let line = [&["--endpoints", &endpoints, "-w", "json"], &flags[..], &["doctor"]].concat();
    let ran = crate::kit::run(&line).await;
    assert!(ran.out.contains("no answer within 300ms") && ran.out.contains("answers as member"), "{ran:?}");
    assert_eq!(ran.code, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_plain_http_in_each_others_place_are_told_with_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (cert_file, key_file) = authority.issue("server", 300);
    let plain = Node::start().await;
    let secure = Node::start_with(|config| {
        config.listen_client_urls = vec!["https://127.0.0.1:0".parse().unwrap()];
        config.client_tls = Settings { cert_file: Some(cert_file), key_file: Some(key_file), ..Settings::default() };
    })
    .await;
    let swapped = |url: &str, from: &str, to: &str| url.replacen(from, to, 1);
    let endpoint = swapped(secure.url(), "https", "http");
    let found = doctor(&endpoint, &[]).await;
    found.expect("endpoint", &format!("error {endpoint}"), &["TLS is spoken there", secure.url(), "--cacert"]);
    let endpoint = swapped(plain.url(), "http", "https");
    let found = doctor(&endpoint, &["--cacert", &authority.ca()]).await;
    found.expect("endpoint", &format!("error {endpoint}"), &["plain HTTP is spoken there", plain.url()]);
    let found = doctor(secure.url(), &["--cacert", &authority.ca()]).await;
    found.expect("endpoint", &format!("ok {}", secure.url()), &["answers as member"]);
    // A CA that did not sign it.
    let other = tempfile::tempdir().unwrap();
    let found = doctor(secure.url(), &["--cacert", &Authority::new(other.path()).ca()]).await;
    found.expect("endpoint", &format!("error {}", secure.url()), &["calls fail", "the CA that signed"]);
    for node in [plain, secure] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_port_and_a_member_of_another_cluster_are_told() {
    let peer = port();
    let node = Node::start_with(|config| {
        config.listen_peer_urls = vec![peer.url.parse().unwrap()];
        config.initial_advertise_peer_urls = config.listen_peer_urls.clone();
    })
    .await;
    let found = doctor(&format!("{},{}", node.url(), peer.url), &[]).await;
    found.expect("endpoint", &format!("error {}", peer.url), &["where members reach default", node.url()]);
    let other = Node::start_with(|config| config.initial_cluster_token = "another".to_owned()).await;
    let found = doctor(&format!("{},{}", node.url(), other.url()), &["--given-only"]).await;
    found.expect("endpoint", &format!("error {}", other.url()), &["another cluster", "name one cluster only"]);
    assert_eq!(found.code, 1);
    for node in [node, other] {
        node.stop().await;
    }
}
