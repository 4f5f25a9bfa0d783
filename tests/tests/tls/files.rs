//! Files that are replaced while the server runs.

use std::path::Path;

use registry_tests::tls::{Authority, knock};
use registry_tests::{Watching, requests};
use tempfile::TempDir;

use crate::kit::{Secured, authority};

#[tokio::test]
async fn a_certificate_that_was_replaced_is_used_by_the_next_connection_and_old_ones_live_on() {
    let secured = Secured::start(&[]).await;
    let client = secured.lets_in(secured.config(None)).await.expect("nobody is asked");
    let mut watching = Watching::of(&client, requests::watch("key")).await;
    for round in 0..3 {
        let before = secured.own.certificate("server");
        assert_eq!(knock(secured.door(), None).await.as_ref(), Ok(&before));
        secured.own.issue("server");
        assert_ne!(secured.own.certificate("server"), before);
        assert_eq!(knock(secured.door(), None).await, Ok(secured.own.certificate("server")));
        client.put("key", &format!("{round}")).await;
        assert_eq!(watching.happened(1).await[0].value, format!("{round}"));
    }
}

#[tokio::test]
async fn a_ca_that_was_replaced_decides_about_the_next_connection() {
    let elsewhere = TempDir::new().expect("directories can be made");
    let other = authority(&elsewhere);
    let trusted = elsewhere.path().join("trusted.pem");
    let copy = |from: &Authority| replace(&trusted, &from.path("ca", "pem"));
    let flag = format!("--trusted-ca-file={}", trusted.display());
    let secured = Secured::prepared(copy, &[&flag]).await;
    let ours = || secured.lets_in(secured.config(Some("client")));
    let theirs = || secured.lets_in(secured.own.trusting(Some((&other, "client"))));
    let client = ours().await.expect("it is of the CA");
    theirs().await.map(drop).expect_err("it is of another");
    copy(&other);
    theirs().await.expect("now it is of the CA");
    ours().await.map(drop).expect_err("and this one is not any more");
    client.put("key", "a connection from before lives on").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_once_and_those_before_stay() {
    let secured = Secured::start(&[]).await;
    let before = secured.own.certificate("server");
    spoil(&secured.own.path("server", "pem"));
    for _ in 0..3 {
        assert_eq!(knock(secured.door(), None).await.as_ref(), Ok(&before));
    }
    let lines = secured.node.log();
    let told = lines.iter().filter(|line| line.contains("the TLS files cannot be used")).count();
    assert_eq!(told, 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("server.pem holds no certificate")), "{lines:?}");
    secured.own.issue("server");
    assert_eq!(knock(secured.door(), None).await, Ok(secured.own.certificate("server")));
}

#[expect(clippy::disallowed_methods, reason = "the files of a test")]
fn spoil(path: &Path) {
    std::fs::write(path, "nothing").expect("files can be written");
}

#[expect(clippy::disallowed_methods, reason = "the files of a test")]
fn replace(path: &Path, with: &Path) {
    let unfinished = path.with_extension("tmp");
    std::fs::copy(with, &unfinished).expect("files can be copied");
    std::fs::rename(unfinished, path).expect("files can be renamed");
}
