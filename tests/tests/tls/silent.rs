//! Those who connect and say nothing.

use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::tls::knock;
use registry_tests::{eventually, within};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::kit::Secured;

/// What a server serves at once in these tests, and how many say nothing.
const PLACES: usize = 20;
const SILENT: usize = 60;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn who_says_nothing_takes_no_place_from_those_who_do() {
    let flag = format!("--max-connections={PLACES}");
    let secured = Secured::start(&[&flag]).await;
    let client = secured.lets_in(secured.config(None)).await.expect("there is room");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(secured.door()).await.expect("the port is open"));
    }
    for _ in 0..3 {
        secured.lets_in(secured.config(None)).await.expect("the silent ones make room");
    }
    client.put("key", "who has spoken stays").await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_for_ever() {
    let secured = Secured::start(&[]).await;
    let mut silent = TcpStream::connect(secured.door()).await.expect("the port is open");
    let begin = tokio::time::Instant::now();
    let mut answer = Vec::new();
    drop(within(silent.read_to_end(&mut answer)).await);
    assert!(begin.elapsed() >= HANDSHAKE - Duration::from_secs(1), "{:?}", begin.elapsed());
    eventually(SOON, "the log says so", async || {
        secured.node.log_contains("the handshake was not finished within 10s")
    })
    .await;
    knock(secured.door(), None).await.expect("others are served");
}
