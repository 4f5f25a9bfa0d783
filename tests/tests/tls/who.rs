//! Who is let in.

use registry_tests::tls::{Authority, knock, knock_plainly};
use registry_tests::{Client, Dial, Node, Watching, requests};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use crate::NODE;
use crate::kit::{Secured, authority, say_plainly};

const MUTUAL: [&str; 2] = ["--trusted-ca-file=DIR/ca.pem", "--client-cert-auth"];

#[tokio::test]
async fn a_client_that_trusts_the_ca_is_served_and_what_it_writes_is_there() {
    let secured = Secured::start(&[]).await;
    let client = secured.lets_in(secured.config(None)).await.expect("nobody is asked for a certificate");
    assert_eq!(client.value("key").await.expect("it was put"), "value");
    let mut watching = Watching::of(&client, requests::watch("key")).await;
    client.put("key", "again").await;
    assert_eq!(watching.happened(1).await[0].value, "again");
    for version in [&TLS12, &TLS13] {
        secured.lets_in(secured.own.trusting_with_versions(None, &[version])).await.expect("both are spoken");
    }
    let elsewhere = TempDir::new().expect("directories can be made");
    let refused = secured.lets_in(authority(&elsewhere).trusting(None)).await;
    refused.map(drop).expect_err("a client that trusts another CA does not take the server for one");
}

#[tokio::test]
async fn only_those_with_a_certificate_of_the_ca_are_let_in() {
    let secured = Secured::start(&MUTUAL).await;
    secured.lets_in(secured.config(Some("client"))).await.expect("it is of the CA, wherever it comes from");
    secured.lets_in(secured.config(None)).await.map(drop).expect_err("it presents none");
    secured.node.wait_for_log("it presents no certificate").await;
    let elsewhere = TempDir::new().expect("directories can be made");
    let other = authority(&elsewhere);
    let config = secured.own.trusting(Some((&other, "client")));
    secured.lets_in(config).await.map(drop).expect_err("it is of another CA");
    secured.node.wait_for_log("its certificate is not of a CA that is trusted here").await;
    secured.lets_in(secured.config(Some("client"))).await.expect("and goes on as before");
}

#[tokio::test]
async fn who_was_revoked_is_refused_with_the_next_connection() {
    let crl = "--client-crl-file=DIR/ca.crl";
    let secured = Secured::prepared(|own| own.revoke(&["other"]), &[MUTUAL[0], crl]).await;
    let client = secured.lets_in(secured.config(Some("client"))).await.expect("it was not revoked");
    secured.lets_in(secured.config(Some("other"))).await.map(drop).expect_err("it was");
    secured.node.wait_for_log("its certificate was revoked").await;
    secured.own.revoke(&["client"]);
    secured.lets_in(secured.config(Some("client"))).await.map(drop).expect_err("now it was, too");
    secured.lets_in(secured.config(Some("other"))).await.expect("and this one no more");
    client.put("key", "a connection from before lives on").await;
}

#[tokio::test]
async fn only_those_with_the_right_name_are_let_in() {
    let name = Secured::start(&[MUTUAL[0], "--client-cert-allowed-cn=client,nobody"]).await;
    name.lets_in(name.config(Some("client"))).await.expect("its common name is allowed");
    name.lets_in(name.config(Some("other"))).await.map(drop).expect_err("this one's is not");
    name.node.wait_for_log("none of the names that are let in").await;
    let issue = |own: &Authority| own.issue_for("guest", &["guest.example"]);
    let host = Secured::prepared(issue, &[MUTUAL[0], "--client-cert-allowed-hostname=guest.example"]).await;
    host.lets_in(host.config(Some("guest"))).await.expect("it is for that host");
    host.lets_in(host.config(Some("client"))).await.map(drop).expect_err("this one is not");
}

#[tokio::test]
async fn versions_and_suites_are_as_the_flags_say() {
    let with = |secured: &Secured, version| secured.own.trusting_with_versions(None, &[version]);
    let new = Secured::start(&["--tls-min-version=TLS1.3"]).await;
    new.lets_in(with(&new, &TLS13)).await.expect("TLS 1.3 is spoken");
    new.lets_in(with(&new, &TLS12)).await.map(drop).expect_err("TLS 1.2 is not");
    let old = Secured::start(&["--tls-max-version=TLS1.2", "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]);
    let old = old.await;
    old.lets_in(with(&old, &TLS12)).await.expect("the suite is spoken");
    old.lets_in(with(&old, &TLS13)).await.map(drop).expect_err("TLS 1.3 is not");
    let rsa = ["--tls-max-version=TLS1.2", "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"];
    let rsa = Secured::start(&rsa).await;
    rsa.lets_in(with(&rsa, &TLS12)).await.map(drop).expect_err("the certificate's key has no suite that is spoken");
}

#[tokio::test]
async fn a_server_makes_its_own_certificate_once() {
    let dir = TempDir::new().expect("directories can be made");
    let data = dir.path().join("data");
    let flags = ["--auto-tls", "--listen-client-urls=https://127.0.0.1:0", "--self-signed-cert-validity=2"];
    let mut node = Node::try_start(NODE, &data, &flags).await.expect("it starts");
    let door = |node: &Node| node.url().trim_start_matches("https://").parse().expect("it is an address");
    let presented = knock(door(&node), None).await.expect("nobody is verified");
    knock_plainly(door(&node)).await.expect_err("but all is encrypted");
    node.restart().await;
    assert_eq!(knock(door(&node), None).await, Ok(presented));
}

#[tokio::test]
async fn plain_and_secured_urls_stand_side_by_side() {
    let both = "--listen-client-urls=https://127.0.0.1:0,http://127.0.0.1:0";
    let secured = Secured::start(&[both, "--trusted-ca-file=DIR/ca.pem"]).await;
    secured.node.wait_for_log("so clients come in there without TLS").await;
    let urls = secured.node.client_urls();
    let plain = urls.iter().find(|url| url.starts_with("http://")).expect("it is told");
    let inside = secured.lets_in(secured.config(Some("client"))).await.expect("it is of the CA");
    let client = Client::connect(plain).await;
    let revision = client.put("plain", "1").await;
    assert_eq!(inside.get("plain").await.map(|kv| kv.mod_revision), Some(revision));
    let address = plain.trim_start_matches("http://");
    Dial::tls(secured.config(None)).connect(&format!("https://{address}")).await.expect_err("there is no TLS");
    secured.node.wait_for_log("it speaks TLS, and this URL has none").await;
}

#[tokio::test]
async fn who_speaks_without_tls_is_told_of_in_the_log() {
    let secured = Secured::start(&[]).await;
    for bytes in [b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let answer = say_plainly(secured.door(), bytes).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    secured.node.wait_for_log("it does not speak TLS").await;
    secured.lets_in(secured.config(None)).await.expect("and goes on as before");
}
