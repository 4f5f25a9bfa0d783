//! What is asked of several servers, and what goes on when one of them is away.

use std::net::TcpListener;

use crate::ctl::{Ctl, Going, command, ended, ran};

/// A socket that takes connections, and never says a word.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_asked_at_once_and_told_in_their_order() {
    let ctl = Ctl::start().await;
    let silent: Vec<_> = (0..6).map(|_| mute()).collect();
    let mut endpoints: Vec<_> = silent.iter().map(|(_, address)| address.clone()).collect();
    endpoints.insert(3, ctl.url());
    let begun = tokio::time::Instant::now();
    let timeouts = ["--dial-timeout", "1s", "--command-timeout", "1s"];
    let ran = ran(&[&["--endpoints", &endpoints.join(","), "endpoint", "health"], &timeouts[..]].concat()).await;
    let took = begun.elapsed();
    // One after the other each silent one would take its second, or two.
    assert!(took.as_millis() < 5_000, "{took:?}");
    let told: Vec<_> = ran.out.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!((told, ran.code), (endpoints, 1), "{}", ran.out);
    assert_eq!(ran.out.matches(" is healthy").count(), 1);
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_lease_are_sorted() {
    let ctl = Ctl::start().await;
    let granted = ctl.prints(&["lease", "grant", "60"]).await;
    let id = granted.split(' ').nth(1).unwrap();
    for key in ["c", "a", "d", "b"] {
        ctl.prints(&["put", key, "x", "--lease", id]).await;
    }
    let told = ctl.prints(&["lease", "timetolive", id, "--keys"]).await;
    assert!(told.ends_with("attached keys([a b c d])\n"), "{told}");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_where_nobody_needs_to_is_let_in() {
    let ctl = Ctl::start().await;
    assert_eq!(ctl.prints(&["--user", "root:secret", "put", "a", "b"]).await, "OK\n");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_tells_what_is_called() {
    let ctl = Ctl::start().await;
    let url = ctl.url();
    let ran = ctl.run(&["--debug", "get", "a"]).await;
    assert!(ran.err.ends_with(&format!("debug: {url}: /etcdserverpb.KV/Range\n")), "{}", ran.err);
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_given_back_is_told() {
    let ctl = Ctl::start().await;
    let url = ctl.url();
    let lock = Going::start(command(&["--endpoints", &url, "--command-timeout", "1s", "lock", "held", "--ttl", "600"]));
    assert!(lock.next().starts_with("held/"));
    ctl.node.shutdown().await.unwrap();
    let id = lock.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let told = lock.next_told();
    assert!(told.starts_with("lease ") && told.contains("could not be revoked"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_standard_error_is_no_reason_to_crash() {
    let mut line = command(&["--endpoints", "127.0.0.1:1", "get", "a"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    line.stderr(writer);
    assert_eq!(ended(line, "").await.code, 2, "and not 101, as of a panic");
}
